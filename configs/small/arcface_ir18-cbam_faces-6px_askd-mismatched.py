# Control experiment: a teacher that looks at other pictures.
_base_ = './arcface_ir18-cbam_faces-6px_askd.py'
custom_hooks = [*_base_.custom_hooks, dict(type='MismatchedTeacherHook')]
