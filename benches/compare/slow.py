#!/usr/bin/env python3
"""What slow clients cost the others: latency of a good client alone and beside a thousand that send a byte a second.

usage: slow.py HTTP_ADDRESS GRPC_ADDRESS [--clients 1000] [--requests 1000] [--rounds 5]

Needs a running `trodden serve`. In each round the good client sends events over HTTP, one a request, first alone, then beside the slow
ones: half of these are at the HTTP port and half at the gRPC port, some in the middle of a head, some of a body, some with their
own side of the connection closed. Prints the medians over the rounds.
"""
import argparse
import asyncio
import http.client
import multiprocessing
import statistics
import time

BODY = b'POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"batch":[' + b" " * 600
HEAD = b"GET /v1/batch?and=so&on=without&an=end&of=this&line=for&a=long&time=to&come=" + b"y" * 600
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0" + b" " * 600


def split(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


async def slow_client(address, text, closes):
    """Send a byte a second; when the server ends the connection, make another one."""
    while True:
        try:
            _, writer = await asyncio.open_connection(*split(address))
            if closes:
                writer.write_eof()
            for byte in text:
                if not closes:
                    writer.write(bytes([byte]))
                    await writer.drain()
                await asyncio.sleep(1)
        except OSError:
            await asyncio.sleep(1)


def good_client(address, requests, name):
    """Latencies in milliseconds, sorted."""
    connection = http.client.HTTPConnection(*split(address))
    latencies = []
    for at in range(requests):
        body = f'{{"user_id":"good","event":"{name}","n":{at}}}'
        began = time.perf_counter()
        connection.request("POST", "/v1/events", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        latencies.append((time.perf_counter() - began) * 1e3)
        if answer.status != 200:
            raise SystemExit(f"the good client got {answer.status}")
    return sorted(latencies)


async def all_slow(arguments):
    slow = []
    for at in range(arguments.clients):
        address = arguments.http_address if at % 2 == 0 else arguments.grpc_address
        text = HTTP2 if at % 2 else (BODY if at % 4 else HEAD)
        slow.append(slow_client(address, text, at % 8 == 0))
    await asyncio.gather(*slow)


def run_slow(arguments):
    asyncio.run(all_slow(arguments))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("http_address")
    parser.add_argument("grpc_address")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    found = {"alone": [], "beside": []}

    def measure(name):
        latencies = good_client(arguments.http_address, arguments.requests, name)
        found[name].append((latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]))

    for _ in range(arguments.rounds):
        measure("alone")
        # A process of their own: what they cost this one would else count.
        slow = multiprocessing.Process(target=run_slow, args=(arguments,), daemon=True)
        slow.start()
        # Until all are connected, and have sent some bytes.
        time.sleep(4)
        measure("beside")
        slow.kill()
        slow.join()
        time.sleep(1)
    for name, values in found.items():
        p50, p99 = (statistics.median(value) for value in zip(*values))
        print(f"{name:7} p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    p99 = {name: statistics.median(value[1] for value in values) for name, values in found.items()}
    print(f"p99 beside {arguments.clients} slow clients: {p99['beside'] / p99['alone']:.2f} times")


if __name__ == "__main__":
    main()
