"""The guard around unit tests bites."""

import os
import socket
import subprocess

import pytest

refused = pytest.raises(pytest.fail.Exception, match="belongs elsewhere")


def test_no_processes():
    with refused:
        subprocess.run(["true"], check=True)
    with refused:
        os.system("true")


def test_no_sockets():
    with socket.socket() as tcp, refused:
        tcp.connect(("127.0.0.1", 9))
    with socket.socket(type=socket.SOCK_DGRAM) as udp, refused:
        udp.sendto(b"", ("127.0.0.1", 9))
