"""The configuration protocol spoken by hand over the UNIX socket."""

import os
import socket


class Reply:
    """key=value lines in order of arrival, and the errno line that ended them."""

    def __init__(self, text):
        self.text = text
        lines = [line for line in text.split("\n") if line]
        self.pairs = [tuple(line.split("=", 1)) for line in lines if not line.startswith("errno=")]
        numbers = [line[len("errno="):] for line in lines if line.startswith("errno=")]
        self.errno_text = numbers[-1] if numbers else None

    @property
    def errno(self):
        return None if self.errno_text is None else int(self.errno_text)

    def values(self, key):
        return [pair[1] for pair in self.pairs if pair[0] == key]

    def value(self, key):
        found = self.values(key)
        return found[0] if found else None


class Connection:
    """One connection; several operations may follow each other on it."""

    def __init__(self, path, timeout=20):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        # The path through /proc may pass the 107 bytes of sun_path: go through a directory fd.
        directory = os.open(os.path.dirname(path), os.O_PATH)
        try:
            self.socket.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        except BaseException:
            self.socket.close()
            raise
        finally:
            os.close(directory)
        self._rest = b""

    def send(self, text):
        self.socket.sendall(text.encode() if isinstance(text, str) else text)

    def receive(self):
        """One reply: up to the blank line. Raises EOFError when the other end closed."""
        while b"\n\n" not in self._rest:
            data = self.socket.recv(1 << 16)
            if not data:
                raise EOFError(f"closed after {self._rest!r}")
            self._rest += data
        reply, _, self._rest = self._rest.partition(b"\n\n")
        return Reply(reply.decode())

    def ask(self, text):
        self.send(text)
        return self.receive()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Uapi:
    """One connection per operation, as `wg` does it."""

    def __init__(self, path):
        self.path = str(path)

    def connect(self, **options):
        return Connection(self.path, **options)

    def get(self):
        with self.connect() as connection:
            return connection.ask("get=1\n\n")

    def set(self, *lines):
        with self.connect() as connection:
            return connection.ask("set=1\n" + "".join(f"{line}\n" for line in lines) + "\n")

    def set_in_pieces(self, pieces, timeout=60):
        """One set, of text that may be longer than can be held at once."""
        with self.connect(timeout=timeout) as connection:
            connection.send("set=1\n")
            for piece in pieces:
                connection.send(piece)
            return connection.ask("\n")

    def count_peers(self, timeout=60):
        """Of a get, however long."""
        key, count, rest = b"public_key=", 0, b""
        with self.connect(timeout=timeout) as connection:
            connection.send("get=1\n\n")
            while not rest.endswith(b"errno=0\n\n"):
                data = connection.socket.recv(1 << 20)
                if not data:
                    raise EOFError(f"closed after {rest!r}")
                text = rest + data
                rest = text[-len(key) + 1:]
                count += text.count(key)
        return count
