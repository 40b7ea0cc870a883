# Classification of ImageNet at 4x; as in the paper, the methods come with logit distillation.
title = 'Table 4: classification of ImageNet, ResNet-18-CBAM'
columns = {'ACC (%)': 'accuracy/top1'}
hr = 'askd_mmdet::classification/resnet18-cbam_imagenet.py'
rows = [
    dict(resolution='1x', method='Base', config=hr, paper=(70.13,)),
    dict(resolution='4x', method='Base', config=hr.replace('.py', '-4x.py'), paper=(65.34,)),
    dict(resolution='4x', method='KD', config=hr.replace('.py', '-4x_kd.py')),
    dict(resolution='4x', method='AT+KD', config=hr.replace('.py', '-4x_at-kd.py'), paper=(65.79,)),
    dict(resolution='4x', method='RKD+KD', config=hr.replace('.py', '-4x_rkd-kd.py'), paper=(65.95,)),
    dict(resolution='4x', method='DIST', config=hr.replace('.py', '-4x_dist.py')),
    dict(resolution='4x', method='A-SKD+KD', config=hr.replace('.py', '-4x_askd-kd.py'), paper=(66.52,)),
]
