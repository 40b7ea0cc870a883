# Table 1 on people of your own, as `askd split identities` makes them; how many there are to train on is a setting:
# --cfg-options model.head.num_classes=...
title = 'People of your own at 4x (112x112 from 28x28), IR-50-CBAM: verification'
columns = {'Ver-ACC (%)': 'verification/accuracy', 'AUC (%)': 'verification/auc'}
_hr = 'askd_mmdet::recognition/arcface_ir50-cbam_people.py'
_lr = 'askd_mmdet::recognition/arcface_ir50-cbam_people-4x.py'
rows = [
    dict(resolution='1x', method='HR teacher', config=_hr),
    dict(resolution='4x', method='HR teacher', config=_lr, trained=_hr),
    dict(resolution='4x', method='Base', config=_lr),
    dict(resolution='4x', method='A-SKD', config='askd_mmdet::recognition/arcface_ir50-cbam_people-4x_askd.py'),
]
