# For a control experiment: a teacher of random weights, whose statistics alone have seen an epoch.
_base_ = './tinaface_r50-bn-cbam_toy.py'
optim_wrapper = dict(optimizer=dict(lr=0.0))
train_cfg = dict(max_epochs=1)
