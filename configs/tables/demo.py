# The detection demo: the rows of the toy at 4x.
_base_ = './toy5.py'
options = {'train_cfg.val_begin': 1, 'default_hooks.correlation.pictures': 16}  # for the curves of its report
rows = [row for row in _base_.rows if row.resolution in ('1x', '4x')]
