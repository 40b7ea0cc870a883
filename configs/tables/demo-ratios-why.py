# Where the gain of A-SKD in demo-ratios comes from: two teachers that cannot know where to look, which maps, which
# lambda, which layers.
_base_ = './demo-ratios.py'
title = _base_.title + ', by what A-SKD compares'
_student = next(row for row in _base_.rows if row.get('name') == 'askd-1x2x4x8x')
_hr = 'askd_mmdet::toy/tinaface_r50-bn-cbam_toy'
_loss = 'custom_hooks.4.losses.loss_attention'
_settings = {
    'teacher of random weights': ('untrained', {'custom_hooks.4.teacher': f'{_hr}-untrained.py'}),
    'lambda 1': ('askd-1', {f'{_loss}.weight': 1.0}),
    'lambda 25': ('askd-25', {f'{_loss}.weight': 25.0}),
    'sigmoid': ('askd-sigmoid', {f'{_loss}.maps': 'sigmoid'}),
    'spatial': ('askd-spatial', {f'{_loss}.channel': None}),
    'last stage alone': (
        'askd-last',
        {f'{_loss}.{kind}': f'backbone.layer4.*{kind}_attention' for kind in ('channel', 'spatial')},
    ),
}
rows = [
    *(row for row in _base_.rows if row.resolution == '1x to 8x'),
    {
        **_student,
        'method': 'A-SKD, teacher sees other pictures',
        'config': f'{_hr}-4x_askd-mismatched.py',
        'name': 'mismatched-1x2x4x8x',
    },
    *(
        {
            **_student,
            'method': f'A-SKD, {setting}',
            'name': f'{name}-1x2x4x8x',
            'options': {**_student.options, **options},
        }
        for setting, (name, options) in _settings.items()
    ),
]
