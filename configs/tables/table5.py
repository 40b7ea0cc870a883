# Face detection on WIDER FACE, down-sampled; CWD, PKD and MGD are not in the paper.
title = 'Table 5: face detection on WIDER FACE, TinaFace-R50-CBAM with batch norm'
columns = {f'{subset} (%)': f'wider_face/{subset.lower()}' for subset in ('Easy', 'Medium', 'Hard')}
hr = 'askd_mmdet::detection/tinaface_r50-bn-cbam_widerface.py'
rows = [
    dict(resolution='1x', method='Base', config=hr, paper=(95.56, 95.07, 91.45)),
    dict(resolution='16x', method='Base', config=hr.replace('.py', '-16x.py'), paper=(54.38, 52.73, 35.29)),
    dict(resolution='16x', method='CWD', config=hr.replace('.py', '-16x_cwd.py')),
    dict(resolution='16x', method='PKD', config=hr.replace('.py', '-16x_pkd.py')),
    dict(resolution='16x', method='MGD', config=hr.replace('.py', '-16x_mgd.py')),
    dict(resolution='16x', method='A-SKD', config=hr.replace('.py', '-16x_askd.py'), paper=(62.93, 60.19, 47.28)),
    dict(resolution='32x', method='Base', config=hr.replace('.py', '-32x.py'), paper=(31.15, 26.68, 14.00)),
    dict(resolution='32x', method='A-SKD', config=hr.replace('.py', '-32x_askd.py'), paper=(33.50, 30.04, 16.02)),
]
