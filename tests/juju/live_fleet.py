"""Applications in one scope of a real ZooKeeper, each unit with its real agent, in real time.

Units are functions in the simulated Juju, whose clock runs faster than the real one; their hooks,
and the agents, which are processes, have real sessions. Agents are killed and stopped, hooks and
Juju's agents are killed, leaders change, and servers die and stand still on the way.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from coordinator import juju
from rolling import PEERS, Work, our_charm, restarted
from scope_fleet import CALL
from simulated_juju import Application, FunctionCharm, Hook, Model
from simulated_juju.environment import MODEL_UUID
from zookeeper_server import Proxy, ZooKeeperServer

SCOPE = "fleet"
SPEED = 20.0
SESSION_SECONDS = 3.0
BOUND = 120.0


@dataclass
class LiveAgent:
    """The agent of one unit, as a process."""

    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def restart(self) -> None:
        """Kill it, and start another one."""
        self.end()
        self.start()

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class LiveFleet:
    """Applications whose units take turns with each other, whatever happens to them.

    The agents of some of them reach the servers through a proxy, which can cut them off.
    """

    def __init__(
        self,
        servers: Sequence[ZooKeeperServer],
        directory: Path,
        seed: int,
        kind: type[juju.BaseCoordinator] = juju.Serial,
    ) -> None:
        self.servers, self.directory, self.kind = servers, directory, kind
        self.url = f"zookeeper://{','.join(server.hosts for server in servers)}"
        self.proxy = Proxy(servers[0].address)
        self.chance = random.Random(f"live {seed}")
        self.model = Model(seed=seed, watch_seconds=(0.01, 0.5), exec_function=self._called)
        self.agents: dict[str, LiveAgent] = {}
        self.applications: list[Application] = []
        self.revision = 0
        self.counted: Counter[str] = Counter()
        self.model.listen("work-start", lambda _record: self._few_enough())

    def __enter__(self) -> Self:
        self.proxy.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for agent in self.agents.values():
            agent.end()
        self.model.close()
        self.proxy.close()

    def deploy(self, name: str, units: int, *, through_proxy: bool = False) -> None:
        charm = self._charm()
        self.applications.append(
            self.model.deploy(name, charm, units=units, peers=PEERS, config={"revision": 0})
        )
        for unit in self.applications[-1].units:
            url = self.proxy.url if through_proxy else self.url
            self.agents[unit.name] = self._agent(unit.name, url)
            self.agents[unit.name].start()

    def roll(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Have every unit restart once, and let something happen after some of them have."""
        self.revision += 1
        for application in self.applications:
            application.configure(revision=self.revision)
        if meanwhile is not None:
            some = self.chance.randint(0, len(self.agents) - 1)
            self.until(lambda: self._count_restarted() >= some)
            meanwhile()
        self.until(lambda: self._count_restarted() == len(self.agents))

    def until(self, done: Callable[[], bool]) -> None:
        assert self.model.run_live(done, BOUND, speed=SPEED), self.explained(
            "somebody waits for ever"
        )

    def pass_time(self, real_seconds: float) -> None:
        self.model.run_live(lambda: False, real_seconds, speed=SPEED)

    def kill_agents(self) -> None:
        """Kill some agents, and start them anew at different times."""
        for unit in self.chance.sample(sorted(self.agents), k=4):
            self.agents[unit].end()
            self.counted["agents killed"] += 1
            self.pass_time(self.chance.uniform(0.0, 0.3))
            self.agents[unit].start()

    def stop_agents(self) -> None:
        """Stop some agents for longer than their sessions last."""
        units = self.chance.sample(sorted(self.agents), k=3)
        for unit in units:
            self.agents[unit].signal(signal.SIGSTOP)
        self.pass_time(SESSION_SECONDS * 1.5)
        for unit in units:
            self.agents[unit].signal(signal.SIGCONT)
            self.counted["agents stopped"] += 1

    def kill_hooks(self) -> None:
        """Kill Juju's agents of some units, and the hooks that they run."""
        for unit in self.chance.sample(sorted(self.agents), k=4):
            self.model.unit(unit).kill_agent(restart_after=self.chance.uniform(0.5, 10.0))
            self.counted["hooks killed"] += 1
            self.pass_time(self.chance.uniform(0.0, 0.3))

    def change_leaders(self) -> None:
        """Pass the leadership of each application to another unit."""
        for application in self.applications:
            units = [unit.name for unit in application.units]
            self.model.hand_leadership(application.name, self.chance.choice(units))
            self.counted["leaders changed"] += 1

    def cut_agents_off(self) -> None:
        """Cut the agents off that go through the proxy, for longer than their sessions last."""
        self.proxy.freeze()
        self.pass_time(SESSION_SECONDS * 1.5)
        self.proxy.thaw()
        self.counted["agents cut off"] += 5

    def kill_server(self) -> None:
        """Kill a server, at times the leader, and start it anew."""
        server = self.chance.choice(self.servers)
        server.kill()
        self.pass_time(self.chance.uniform(0.0, 1.0))
        server.start()
        self.counted["servers killed"] += 1
        server.wait_until_serving()

    def freeze_server(self) -> None:
        """Let a server stand still, for less or more than a session lasts."""
        server = self.chance.choice(self.servers)
        server.freeze()
        try:
            self.pass_time(self.chance.uniform(0.5, 1.5) * SESSION_SECONDS)
        finally:
            server.thaw()
        self.counted["servers frozen"] += 1

    def explained(self, what: str) -> str:
        logs = "\n".join(
            f"{unit}: {agent.log.read_text()[-1500:]}" for unit, agent in self.agents.items()
        )
        command = [sys.executable, "-m", "coordinator", "status", SCOPE, "--url", self.url]
        status = subprocess.run(command, capture_output=True, text=True, check=False)
        return f"{what}\n{self.model.describe(60)}\n{status.stdout}{status.stderr}\n{logs}"

    def _count_restarted(self) -> int:
        units = [unit for application in self.applications for unit in application.units]
        return sum(restarted(unit.agent.charm_dir) == self.revision for unit in units)

    def _few_enough(self) -> None:
        units = sorted({work.unit for work in self.model.working()})
        assert len(units) <= 1, self.explained(f"{units} at once")

    def _charm(self) -> FunctionCharm:
        backend = juju.Backend(
            self.url, SCOPE, session_timeout=SESSION_SECONDS, connect_timeout=5.0
        )

        def make(**arguments: Any) -> Any:
            return self.kind(backend=backend, **arguments)

        base = our_charm(make, work=Work((0.5, 2.0), long_share=0.0))

        def function(hook: Hook) -> None:
            try:
                base.function(hook)
            finally:
                for coordinator in hook.local["instances"].values():
                    if coordinator._hook is not None:
                        coordinator._hook.say_goodbye()

        self._function = function
        return replace(base, function=function)

    def _called(self, hook: Hook) -> None:
        os.environ.update(CALL)
        self._function(hook)

    def _agent(self, unit: str, url: str) -> LiveAgent:
        server = self.model.world.server
        config = self.directory / f"{unit.replace('/', '-')}.json"
        settings = {
            "version": 1,
            "url": url,
            "scope": SCOPE,
            "member": f"simulated-{MODEL_UUID[:8]}:{unit}",
            "session_timeout": SESSION_SECONDS,
            "command": [str(server.tools_dir(unit) / "juju-exec"), "-u", unit, "wake"],
        }
        config.write_text(json.dumps(settings))
        command = [sys.executable, "-m", "coordinator", "agent", "--config", str(config)]
        environment = {**os.environ, "JUJU_AGENT_SOCKET_ADDRESS": str(server.socket_path(unit))}
        return LiveAgent(command, environment, config.with_suffix(".log"))
