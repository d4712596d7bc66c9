"""Is the stand-in Braze fast enough for campaigns? 1,000 requests of 75 objects, then a reset.

Run with `python -m bench.sandbox_speed`. Exits with 1 if a bound is missed: 5 s for the
requests (issue 3), 10 ms for the reset of an ordinary test's state. The server runs in a process
of its own, as in the local stack; the client posts ready-made bodies over kept connections.
"""

import json
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

REQUESTS = 1_000
OBJECTS = 75
THREADS = 8
ROUNDS = 3
"""At most; the first one within the bound ends it, since other work shares the machine."""
MAX_SECONDS = 5.0
MAX_RESET_SECONDS = 0.010
TIMEOUT = (5, 30)
KEY = "bench"
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}


def body(number: int) -> bytes:
    """Make a request of 60 attributes and 15 events objects, about what a quiz answer carries."""
    users = [f"user-{number * OBJECTS + place}" for place in range(OBJECTS)]
    attributes = [
        {
            "external_id": user,
            "email": f"{user}@example.com",
            "first_name": "Ana",
            "outgrow_quiz_score": number,
            "outgrow_custom_segment": "Explorer",
            "answered_at": "2026-11-22T12:00:00Z",
            "favourites": ["tea", "coffee"],
            "Do you enjoy our products?": "Yes, very much",
        }
        for user in users[:60]
    ]
    events = [
        {
            "external_id": user,
            "name": "survey-question-response",
            "time": "2026-11-22T12:00:00Z",
            "properties": {"question": "Do you enjoy our products?", "response": "Yes"},
        }
        for user in users[60:]
    ]
    return json.dumps({"attributes": attributes, "events": events}).encode()


def post_all(url: str, bodies: list[bytes]) -> float:
    """Post all bodies from a pool of threads.

    Returns:
        Seconds.
    """

    def post_some(share: list[bytes]) -> None:
        with requests.Session() as session:
            for one in share:
                answer = session.post(
                    f"{url}/users/track",
                    data=one,
                    headers=HEADERS,
                    timeout=TIMEOUT,
                )
                if answer.status_code != requests.codes.created:
                    raise SystemExit(f"the sandbox answered {answer.status_code}")

    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(post_some, [bodies[start::THREADS] for start in range(THREADS)]))
    return time.perf_counter() - began


def reset(session: requests.Session, url: str) -> float:
    """Reset the sandbox; returns seconds."""
    began = time.perf_counter()
    session.post(f"{url}/_sandbox/reset", timeout=TIMEOUT)
    return time.perf_counter() - began


def measure(url: str) -> bool:
    """Measure and prints; returns whether both bounds hold."""
    bodies = [body(number) for number in range(REQUESTS)]
    with requests.Session() as session:
        rounds: list[float] = []
        while len(rounds) < ROUNDS and min(rounds, default=MAX_SECONDS + 1) > MAX_SECONDS:
            session.post(f"{url}/_sandbox/reset", timeout=TIMEOUT)
            rounds.append(post_all(url, bodies))
        profiles = session.get(f"{url}/_sandbox/health", timeout=TIMEOUT).json()["profiles"]
        large = reset(session, url)
        post_all(url, bodies[:5])
        small = min(reset(session, url) for _ in range(5))
    best = min(rounds)
    rate = REQUESTS * OBJECTS / best
    print(f"{REQUESTS} requests of {OBJECTS} objects: {best:.2f} s ({rate:,.0f} objects/s)")
    print(f"rounds: {', '.join(f'{seconds:.2f}' for seconds in rounds)}; profiles: {profiles}")
    print(f"reset: of everything {large * 1000:.1f} ms, of a small state {small * 1000:.1f} ms")
    return best <= MAX_SECONDS and small <= MAX_RESET_SECONDS


def run() -> int:
    """Start a sandbox, measures, stops it; returns the exit code."""
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--key", KEY]
    with subprocess.Popen(  # noqa: S603 -- our own module and literal arguments
        command,
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            held = process.stdout is not None and measure(process.stdout.readline().strip())
        finally:
            process.terminate()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"CPU of the sandbox, all rounds: {used.ru_utime + used.ru_stime:.2f} s")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(run())
