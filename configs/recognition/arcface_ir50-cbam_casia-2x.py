# LR base: row 2x of table 1 without distillation.
_base_ = './arcface_ir50-cbam_casia.py'
_base_.train_dataloader.dataset.pipeline[-1].ratio = 2
_base_.val_dataloader.dataset.pipeline[-1].ratio = 2
_base_.test_dataloader.dataset.pipeline[-1].ratio = 2
