# LR base of the toy at 8x.
_base_ = './tinaface_r50-bn-cbam_toy-4x.py'
_base_.train_dataloader.dataset.pipeline[-1].ratio = 8
_base_.val_dataloader.dataset.pipeline[-1].ratio = 8
_base_.test_dataloader.dataset.pipeline[-1].ratio = 8
