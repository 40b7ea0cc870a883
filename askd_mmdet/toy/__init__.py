"""Small data sets in the layouts of real ones, made from pictures that scikit-image brings."""

from askd_mmdet.toy.identities import make_face_identities
from askd_mmdet.toy.pictures import make_picture_classes
from askd_mmdet.toy.wider_face import make_wider_face

__all__ = ['make_face_identities', 'make_picture_classes', 'make_wider_face']
