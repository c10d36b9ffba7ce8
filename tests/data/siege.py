"""Clients that only cost: thousands that say nothing, that say an octet a second, that say rubbish. One that is cut or refused comes
again a second later. Each line of standard output is one figure; standard input's end is the end."""

import heapq
import random
import resource
import selectors
import socket
import sys
import time

port, idle, slow, garbage, addresses = (int(word) for word in sys.argv[1:6])
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
selector = selectors.DefaultSelector()
selector.register(sys.stdin, selectors.EVENT_READ)
rubbish = random.Random(4711)
open_now, greeted, refused, cut = 0, 0, 0, 0
# When something is due: to come again, or to say something. The number keeps the order total.
due, number = [], 0


class Session:
    def __init__(self, kind, address):
        self.kind, self.address, self.socket, self.heard = kind, address, None, False

    def come(self):
        global open_now
        self.socket, self.heard = socket.socket(), False
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setblocking(False)
        try:
            # The address alone: the port is chosen when the connection is.
            self.socket.setsockopt(socket.IPPROTO_IP, 24, 1)
            self.socket.bind((self.address, 0))
            self.socket.connect(("127.0.0.1", port))
        except BlockingIOError:
            pass
        except OSError:
            self.socket.close()
            return later(self.come, 1)
        open_now += 1
        selector.register(self.socket, selectors.EVENT_READ, self)
        if self.kind != "idle":
            later(self.say, 1, self.socket)

    def say(self, of):
        if of is not self.socket:
            return
        try:
            if self.kind == "slow":
                self.socket.send(b"X")
            else:
                self.socket.send(rubbish.randbytes(rubbish.randrange(1, 200)) + b"\r\n")
        except BlockingIOError:
            pass
        except OSError:
            return
        later(self.say, 1, of)

    def hear(self):
        global greeted, refused, cut, open_now
        try:
            said = self.socket.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if said and not self.heard:
            self.heard = True
            greeted += said.startswith(b"220")
            refused += said.startswith(b"421")
        elif said.startswith(b"421"):
            cut += 1
        if not said:
            selector.unregister(self.socket)
            self.socket.close()
            self.socket = None
            open_now -= 1
            later(self.come, 1)


def later(what, seconds, *arguments):
    global number
    number += 1
    heapq.heappush(due, (time.monotonic() + seconds, number, what, arguments))


kinds = ["idle"] * idle + ["slow"] * slow + ["garbage"] * garbage
for place, kind in enumerate(kinds):
    session = Session(kind, f"127.1.{place % addresses // 250}.{place % addresses % 250 + 1}")
    # All within two seconds.
    later(session.come, 2 * place / len(kinds))
told = 0
while True:
    now = time.monotonic()
    while due and due[0][0] <= now:
        _, _, what, arguments = heapq.heappop(due)
        what(*arguments)
    if now - told >= 1:
        told = now
        print(open_now, greeted, refused, cut, flush=True)
    for key, _ in selector.select(0.05):
        if key.data is None:
            sys.exit()
        key.data.hear()
