# The methods of table 4, DIST, and A-SKD alone on both kinds of maps, on CIFAR-10 at 4x: a stand-in for two cores.
title = 'CIFAR-10 at 4x (32x32 from 8x8), ResNet-18-CBAM of a quarter width: accuracy'
columns = {'ACC (%)': 'accuracy/top1'}
_lr = 'askd_mmdet::classification/resnet18-cbam_cifar10-4x'
rows = [
    dict(resolution='1x', method='HR teacher', config='askd_mmdet::classification/resnet18-cbam_cifar10.py'),
    dict(
        resolution='4x',
        method='HR teacher',
        trained='askd_mmdet::classification/resnet18-cbam_cifar10.py',
        config=f'{_lr}.py',
    ),
    dict(resolution='4x', method='Base', config=f'{_lr}.py'),
    dict(resolution='4x', method='KD', config=f'{_lr}_kd.py'),
    dict(resolution='4x', method='AT+KD', config=f'{_lr}_at-kd.py'),
    dict(resolution='4x', method='RKD+KD', config=f'{_lr}_rkd-kd.py'),
    dict(resolution='4x', method='DIST', config=f'{_lr}_dist.py'),
    *(
        dict(
            resolution='4x',
            method=method,
            config=f'{_lr}_askd{ending}.py',
            name=f'askd-{maps}-5{ending}',
            options={'custom_hooks.4.losses.loss_attention.maps': maps},
        )
        for method, maps, ending in (
            ('A-SKD, raw maps', 'raw', ''),
            ('A-SKD, sigmoid maps', 'sigmoid', ''),
            ('A-SKD+KD', 'raw', '-kd'),
        )
    ),
]
