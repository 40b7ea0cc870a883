# LR base: row 16x of table 5 without distillation.
_base_ = './tinaface_r50-gn-dcn-cbam_widerface.py'
_base_.train_dataloader.dataset.pipeline[-1].ratio = 16
_base_.val_dataloader.dataset.pipeline[-1].ratio = 16
_base_.test_dataloader.dataset.pipeline[-1].ratio = 16
