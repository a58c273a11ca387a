"""Layers, in the order to read them: the contract, then ever more of what a network needs."""

from tinyae.layers.activation import (
    ELU,
    GELU,
    Activation,
    LeakyReLU,
    ReLU,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
)
from tinyae.layers.base import Layer, Module, ParameterFree
from tinyae.layers.branches import Parallel, Residual, Skip
from tinyae.layers.compose import Sequential
from tinyae.layers.conv import Conv2d, ConvTranspose2d
from tinyae.layers.dense import Dense, TiedDense
from tinyae.layers.noise import Dropout
from tinyae.layers.norm import BatchNorm, LayerNorm
from tinyae.layers.pool import AvgPool2d, MaxPool2d
from tinyae.layers.shape import Flatten, Reshape, Upsample2d
from tinyae.layers.topk import TopK

__all__ = [
    "Module",
    "Layer",
    "ParameterFree",
    "Dense",
    "TiedDense",
    "Activation",
    "ReLU",
    "LeakyReLU",
    "ELU",
    "Sigmoid",
    "Tanh",
    "Softplus",
    "GELU",
    "Softmax",
    "TopK",
    "Flatten",
    "Reshape",
    "Upsample2d",
    "Conv2d",
    "ConvTranspose2d",
    "MaxPool2d",
    "AvgPool2d",
    "BatchNorm",
    "LayerNorm",
    "Dropout",
    "Sequential",
    "Residual",
    "Skip",
    "Parallel",
]
