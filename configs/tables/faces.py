# The methods of tables 1 and 3 on real faces of 6x6 pixels, on two cores: data/faces/{train,lfw}/, lfw_pairs.txt.
title = 'Real faces of 6x6 pixels (32x32 in HR), IR-18-CBAM of a quarter width: verification on LFW'
columns = {
    'Ver-ACC (%)': 'verification/accuracy',
    'AUC (%)': 'verification/auc',
    'TAR at FAR 1e-3 (%)': 'verification/tar@far=0.001',
}
options = {'train_cfg.val_begin': 1000}  # tested at the end alone
_hr = 'askd_mmdet::small/arcface_ir18-cbam_faces.py'
_lr = 'askd_mmdet::small/arcface_ir18-cbam_faces-6px'
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
    dict(resolution='32 px', method='HR teacher', config=_hr),
    dict(resolution='6 px', method='HR teacher', config=f'{_lr}.py', trained=_hr),
    *(dict(resolution='6 px', method=method, config=f'{_lr}{ending}.py') for method, ending in _methods.items()),
    dict(
        resolution='6 px',
        method='A-SKD, sigmoid',
        config=f'{_lr}_askd.py',
        name='askd-sigmoid',
        options={'custom_hooks.4.losses.loss_attention.maps': 'sigmoid'},
    ),
]
