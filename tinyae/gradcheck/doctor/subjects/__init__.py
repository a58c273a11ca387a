"""What can be diagnosed, behind one interface: a layer, a loss, a model, a function.

``subject.point(k)`` is the subject at one input: k = 0 is the given one, 1 a second draw, 2 another
batch size. A relation that holds at all three is no accident.

``base``      Subject: the interface
``layer``     y = forward(x) with backward
``tangent``   a layer's tangent ẏ = J ẋ with tangent_backward
``loss``      L, dy = loss(y, target)
``model``     objective with backprop
``function``  a function and the backward that someone wrote for it; ``forms``: in which form
``stateful``  an object whose forward keeps what its backward reads
``frameworks``  torch.autograd.Function, jax.custom_vjp
"""

from tinyae.gradcheck.doctor.subjects.base import Subject
from tinyae.gradcheck.doctor.subjects.frameworks import framework_subject
from tinyae.gradcheck.doctor.subjects.function import FunctionSubject
from tinyae.gradcheck.doctor.subjects.layer import LayerSubject
from tinyae.gradcheck.doctor.subjects.loss import LossSubject
from tinyae.gradcheck.doctor.subjects.model import ModelSubject
from tinyae.gradcheck.doctor.subjects.stateful import StatefulSubject, keeps_its_input
from tinyae.gradcheck.doctor.subjects.tangent import TangentSubject, has_tangent

__all__ = [
    "FunctionSubject",
    "LayerSubject",
    "LossSubject",
    "ModelSubject",
    "StatefulSubject",
    "Subject",
    "TangentSubject",
    "framework_subject",
    "has_tangent",
    "keeps_its_input",
]
