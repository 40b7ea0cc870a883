# Where the gain of A-SKD in demo-ratios comes from: two teachers that cannot know where to look.
_base_ = './demo-ratios.py'
title = _base_.title + ', by what A-SKD compares'
_student = next(row for row in _base_.rows if row.get('name') == 'askd-1x2x4x8x')
_hr = 'askd_mmdet::toy/tinaface_r50-bn-cbam_toy'
rows = [
    *(row for row in _base_.rows if row.resolution == '1x to 8x'),
    {
        **_student,
        'method': 'A-SKD, teacher sees other pictures',
        'config': f'{_hr}-4x_askd-mismatched.py',
        'name': 'mismatched-1x2x4x8x',
    },
    {
        **_student,
        'method': 'A-SKD, teacher of random weights',
        'name': 'untrained-1x2x4x8x',
        'options': {**_student.options, 'custom_hooks.4.teacher': f'{_hr}-untrained.py'},
    },
]
