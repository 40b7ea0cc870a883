# Table 5 on toy pictures of 160 pixels, hence at 4x and 8x; with the HR teacher on LR pictures.
title = 'Toy WIDER FACE (160x160), TinaFace-R50-CBAM of a quarter width: AP'
columns = {f'{subset} (%)': f'wider_face/{subset.lower()}' for subset in ('Easy', 'Medium', 'Hard')}
data = 'wider_face'
options = {'train_cfg.val_begin': 1000}  # tested at the end alone
_hr = 'askd_mmdet::toy/tinaface_r50-bn-cbam_toy.py'
rows = [
    dict(resolution='1x', method='HR teacher', config=_hr),
    *(
        row
        for ratio in ('4x', '8x')
        for row in (
            dict(resolution=ratio, method='HR teacher', config=_hr.replace('.py', f'-{ratio}.py'), trained=_hr),
            dict(resolution=ratio, method='Base', config=_hr.replace('.py', f'-{ratio}.py')),
            dict(resolution=ratio, method='A-SKD', config=_hr.replace('.py', f'-{ratio}_askd.py')),
        )
    ),
]
