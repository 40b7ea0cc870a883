# Control experiment: a teacher that looks at other pictures.
_base_ = './tinaface_r50-bn-cbam_toy-4x_askd.py'
custom_hooks = [*_base_.custom_hooks, dict(type='MismatchedTeacherHook')]
