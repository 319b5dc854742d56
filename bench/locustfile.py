"""Load for key-value-cache from Locust, with its web page.

    pip install locust
    npm start                             # in another terminal
    locust -f bench/locustfile.py         # then open http://localhost:8089

On the page enter 100 users, a spawn rate of 10 and the host http://localhost:7171, and start. Or, without the
page, for a minute:

    locust -f bench/locustfile.py --headless --users 100 --spawn-rate 10 --run-time 1m

Every user puts keys through POST /put and gets them back through GET /get, nine GETs to a PUT. Locust itself
takes about a millisecond per request and process: `--processes -1` uses all processors. For what the server
can do at the most, use the benchmarks in bench/http, which are much lighter on the client's side.
"""

import random
import string

from locust import FastHttpUser, constant, task

KEYS = 10_000
VALUE_CHARACTERS = 100


def random_value() -> str:
    return "".join(random.choices(string.ascii_letters + string.digits, k=VALUE_CHARACTERS))


class CacheUser(FastHttpUser):
    host = "http://localhost:7171"
    wait_time = constant(0)

    def on_start(self) -> None:
        """Of the keys, only those that this user has put may be expected to be there."""
        self.known = {}
        self.put()

    @task(1)
    def put(self) -> None:
        key, value = f"locust-{id(self)}-{random.randrange(KEYS)}", random_value()
        with self.client.post("/put", json={"key": key, "value": value}, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"status {response.status_code}")
            else:
                self.known[key] = value

    @task(9)
    def get(self) -> None:
        key = random.choice(list(self.known)) if self.known else "locust-unknown"
        with self.client.get(f"/get?key={key}", name="/get?key=", catch_response=True) as response:
            if response.status_code == 404 and key not in self.known:
                response.success()
            elif response.status_code != 200:
                response.failure(f"status {response.status_code}")
            elif response.json()["value"] != self.known[key]:
                response.failure("not the value that was put")
