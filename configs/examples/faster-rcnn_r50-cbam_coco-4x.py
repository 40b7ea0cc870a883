# LR base: the same network on LR pictures, without distillation.
_base_ = './faster-rcnn_r50-cbam_coco.py'
_base_.train_dataloader.dataset.pipeline[-1].ratio = 4
_base_.val_dataloader.dataset.pipeline[-1].ratio = 4
_base_.test_dataloader.dataset.pipeline[-1].ratio = 4
