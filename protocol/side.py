"""Which end of a connection a machine plays. One enum for all machines that can play both."""

from enum import Enum


class Side(Enum):
    """CLIENT dialled, SERVER accepted: facing the cluster we are CLIENT, facing kubectl SERVER."""

    CLIENT = "client"
    SERVER = "server"
