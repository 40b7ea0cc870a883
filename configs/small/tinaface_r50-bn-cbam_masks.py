# The small network of the toy on real pictures of 400 px with faces of 23 (median), Kaggle's Face Mask Detection in the
# layout of WIDER FACE: small enough for one core and half an hour.
_base_ = '../toy/tinaface_r50-bn-cbam_toy.py'
data_root = 'data/masks/'

_base_.train_dataloader.dataset.pipeline[-1].transforms[0].scales = (0.3, 0.45, 0.6, 0.8, 1.0)
_base_.train_dataloader.dataset.pipeline[-1].transforms[3].scale = (192, 192)
_base_.val_dataloader.dataset.pipeline[-1].transforms[0].scale = (512, 512)
_base_.test_dataloader.dataset.pipeline[-1].transforms[0].scale = (512, 512)
train_dataloader = dict(batch_size=8, dataset=dict(data_root=data_root))
val_dataloader = dict(batch_size=1, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ground_truth=f'{data_root}eval_tools/ground_truth')
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=40, val_interval=10)
_base_.param_scheduler[0].periods = [40]
_base_.param_scheduler[1].end = 100
