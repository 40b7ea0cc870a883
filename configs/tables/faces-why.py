# Where a gain of A-SKD comes from: which lambda, which layers, and two teachers that cannot know where to look.
_base_ = './faces.py'
title = _base_.title + ', by what A-SKD compares'
_askd = 'askd_mmdet::small/arcface_ir18-cbam_faces-6px_askd.py'
_loss = 'custom_hooks.4.losses.loss_attention'
_settings = {
    'A-SKD, lambda 1': ('askd-1', {f'{_loss}.weight': 1.0}),
    'A-SKD, lambda 25': ('askd-25', {f'{_loss}.weight': 25.0}),
    'A-SKD, last stage alone': (
        'askd-last',
        {f'{_loss}.{kind}': f'backbone.layer4.*{kind}_attention' for kind in ('channel', 'spatial')},
    ),
    'A-SKD, teacher of random weights': (
        'askd-untrained',
        {'custom_hooks.4.teacher': 'askd_mmdet::small/arcface_ir18-cbam_faces-untrained.py'},
    ),
}
_mismatched = _askd.replace('askd.py', 'askd-mismatched.py')
rows = [
    *(row for row in _base_.rows if row.method in ('HR teacher', 'Base', 'A-SKD', 'A-SKD, sigmoid', 'A-SKD, spatial')),
    dict(resolution='6 px', method='A-SKD, teacher sees other pictures', config=_mismatched),
    *(
        dict(resolution='6 px', method=method, config=_askd, name=name, options=options)
        for method, (name, options) in _settings.items()
    ),
]
