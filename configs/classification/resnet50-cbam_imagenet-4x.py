# LR base: 4x without distillation.
_base_ = './resnet50-cbam_imagenet.py'
_base_.train_dataloader.dataset.pipeline[-1].ratio = 4
_base_.val_dataloader.dataset.pipeline[-1].ratio = 4
_base_.test_dataloader.dataset.pipeline[-1].ratio = 4
