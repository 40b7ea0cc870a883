# LR base: row 4x of table 4 without distillation.
_base_ = './resnet18-cbam_imagenet.py'
_base_.train_dataloader.dataset.pipeline[-1].ratio = 4
_base_.val_dataloader.dataset.pipeline[-1].ratio = 4
_base_.test_dataloader.dataset.pipeline[-1].ratio = 4
