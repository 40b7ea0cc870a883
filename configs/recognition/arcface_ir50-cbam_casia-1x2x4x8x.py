# One LR base for many resolutions: every picture is degraded at a ratio drawn for it. Validated at 4x.
_base_ = './arcface_ir50-cbam_casia-4x.py'
_base_.train_dataloader.dataset.pipeline[-1].ratio = [1, 2, 4, 8]
