# The methods of tables 1 and 3 on real faces at 6x, on two cores: data/faces/{train,lfw}/<person>/ and lfw_pairs.txt.
title = 'Real faces at 6x (48x48 from 8x8), IR-18-CBAM of a quarter width: verification on LFW'
columns = {
    'Ver-ACC (%)': 'verification/accuracy',
    'AUC (%)': 'verification/auc',
    'TAR at FAR 1e-3 (%)': 'verification/tar@far=0.001',
}
options = {'train_cfg.val_begin': 1000}  # tested at the end alone
_hr = 'askd_mmdet::small/arcface_ir18-cbam_faces.py'
_lr = 'askd_mmdet::small/arcface_ir18-cbam_faces-6x'
_methods = {
    'Base': '',
    'KD': '_kd',
    'F-KD': '_fkd',
    'AT': '_at',
    'HORKD': '_horkd',
    'F-SKD': '_fskd',
    'A-SKD': '_askd',
    'A-SKD, spatial': '_askd-spatial',
    'A-SKD+KD': '_askd-kd',
}
rows = [
    dict(resolution='1x', method='HR teacher', config=_hr),
    dict(resolution='6x', method='HR teacher', config=f'{_lr}.py', trained=_hr),
    *(dict(resolution='6x', method=method, config=f'{_lr}{ending}.py') for method, ending in _methods.items()),
    dict(
        resolution='6x',
        method='A-SKD, sigmoid',
        config=f'{_lr}_askd.py',
        name='askd-sigmoid',
        options={'custom_hooks.4.losses.loss_attention.maps': 'sigmoid'},
    ),
]
