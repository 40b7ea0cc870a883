# One LR base for many resolutions: every picture is degraded at a ratio drawn for it. Validated at 16x.
_base_ = './tinaface_r50-bn-cbam_widerface-16x.py'
_base_.train_dataloader.dataset.pipeline[-1].ratio = [1, 2, 4, 8, 16]
