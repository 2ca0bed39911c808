"""ansible at work: playbooks with a local connection.

Run by run.py, plain and under xlchild; ansible is Debian's. Its workers are
forks, and the modules Pythons of their own.
"""
import json
import os
import subprocess
import sys

import pytest

PLAYBOOK = "/usr/bin/ansible-playbook"
HEAD = """- hosts: all
  gather_facts: {facts}
  connection: local
  vars: {{ansible_python_interpreter: "{python}", ansible_async_dir: "{jobs}"}}
  tasks:
"""
# A plugin of ansible's: what became of each task, as JSON.
TOLD = """
import json
from ansible.plugins.callback import CallbackBase
class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE = 2.0, "stdout"
    CALLBACK_NAME = "told"
    def __init__(self):
        super().__init__()
        self.tasks = {}
    def _keep(self, result, **kwargs):
        self.tasks.setdefault(result._task.get_name(), {})[
            result._host.get_name()] = result._result
    v2_runner_on_ok = v2_runner_on_failed = v2_runner_on_unreachable = _keep
    def v2_playbook_on_stats(self, stats):
        hosts = {host: stats.summarize(host) for host in stats.processed}
        print(json.dumps([hosts, self.tasks], default=str))
"""


class Play:
    """A folder with a playbook."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "plugins").mkdir()
        (folder / "plugins" / "told.py").write_text(TOLD)

    def run(self, tasks, status=0, hosts="here,", facts="false"):
        """(stats of the first host, results by task) of these tasks."""
        text = HEAD.format(python=sys.executable, facts=facts,
                           jobs=self.folder / "jobs")
        for line in tasks.splitlines():
            text += "    %s\n" % line
        (self.folder / "play.yml").write_text(text)
        env = dict(os.environ, ANSIBLE_STDOUT_CALLBACK="told",
                   ANSIBLE_CALLBACK_PLUGINS=str(self.folder / "plugins"),
                   ANSIBLE_LOCALHOST_WARNING="0", ANSIBLE_FORKS="4",
                   ANSIBLE_HOME=str(self.folder / "home"),
                   ANSIBLE_LOCAL_TEMP=str(self.folder / "tmp"),
                   ANSIBLE_REMOTE_TEMP=str(self.folder / "remote"),
                   ANSIBLE_DEVEL_WARNING="0")
        done = subprocess.run(
            [sys.executable, PLAYBOOK, "-i", hosts, "play.yml"],
            cwd=str(self.folder), env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        stats, told = json.loads(done.stdout)
        return stats, told


@pytest.fixture(name="play")
def play_fixture(tmp_path):
    return Play(tmp_path)


def test_command_and_shell(play):
    _, told = play.run(
        "- {name: command, command: echo one two}\n"
        "- {name: shell, shell: 'echo $((6 * 7)) | cat; echo err >&2'}\n"
        "- {name: stdin, command: {cmd: cat, stdin: given}}\n"
        "- {name: chdir, command: {cmd: pwd, chdir: /usr}}\n"
        "- {name: env, shell: 'echo $WORD', environment: {WORD: told}}\n")
    out = {name: hosts["here"]["stdout"] for name, hosts in told.items()}
    assert out == {"command": "one two", "shell": "42", "stdin": "given",
                   "chdir": "/usr", "env": "told"}
    assert told["shell"]["here"]["stderr"] == "err"


def test_copy_template_and_file(play):
    (play.folder / "t.j2").write_text("{{ 6 * 7 }}\n")
    tasks = ("- {name: copy, copy: {content: 'text', dest: %(to)s/copied, "
             "mode: '0640'}}\n"
             "- {name: template, template: {src: t.j2, dest: %(to)s/made}}\n"
             "- {name: dir, file: {path: %(to)s/dir, state: directory}}\n"
             % {"to": play.folder})
    stats, _ = play.run(tasks)
    assert stats["here"]["changed"] == 3
    assert (play.folder / "copied").read_text() == "text"
    assert (play.folder / "copied").stat().st_mode & 0o777 == 0o640
    assert (play.folder / "made").read_text() == "42\n"
    stats, _ = play.run(tasks)  # and nothing is left to be done
    assert stats["here"]["changed"] == 0 and stats["here"]["ok"] == 3


def test_a_command_that_fails(play):
    stats, told = play.run("- {name: fails, command: sh -c 'exit 3'}\n"
                           "- {name: never, command: 'true'}\n", status=2)
    assert told["fails"]["here"]["rc"] == 3
    assert stats["here"]["failures"] == 1 and "never" not in told


def test_failures_that_are_handled(play):
    stats, told = play.run(
        "- name: block\n  block:\n"
        "    - {name: fails, command: sh -c 'kill -9 $$'}\n  rescue:\n"
        "    - {name: rescued, command: echo rescued}\n"
        "- {name: ignored, shell: exit 5, ignore_errors: true}\n"
        "- name: until\n"
        "  shell: 'echo >> count; test $(wc -l < count) -ge 3'\n"
        "  args: {chdir: %s}\n  register: out\n  until: out.rc == 0\n"
        "  retries: 5\n  delay: 0\n" % play.folder)
    assert told["fails"]["here"]["rc"] == -9
    assert told["rescued"]["here"]["stdout"] == "rescued"
    assert told["ignored"]["here"]["rc"] == 5
    assert told["until"]["here"]["attempts"] == 3
    assert stats["here"]["failures"] == 0


def test_a_program_that_there_is_not(play):
    _, told = play.run("- {name: none, command: /no/such/program}\n",
                       status=2)
    assert told["none"]["here"]["rc"] == 2
    assert "No such file" in told["none"]["here"]["msg"]


def test_hosts_side_by_side(play):
    stats, told = play.run("- {name: each, command: 'echo {{ "
                           "inventory_hostname }}'}\n",
                           hosts="a,b,c,d,e,f,")
    assert {name: host["stdout"] for name, host in told["each"].items()} == {
        name: name for name in "abcdef"}
    assert all(one["ok"] == 1 for one in stats.values())


def test_asynchronous_tasks(play):
    _, told = play.run(
        "- {name: begun, command: echo later, async: 60, poll: 1}\n"
        "- {name: left, command: echo left, async: 60, poll: 0, "
        "register: job}\n"
        "- name: asked\n  async_status: {jid: '{{ job.ansible_job_id }}'}\n"
        "  register: out\n  until: out.finished\n  retries: 60\n  delay: 1\n")
    assert told["begun"]["here"]["stdout"] == "later"
    assert told["asked"]["here"]["stdout"] == "left"


def test_pipes_and_scripts(play):
    (play.folder / "script.sh").write_text("#!/bin/sh\necho script $1\n")
    _, told = play.run(
        "- {name: script, script: script.sh word}\n"
        "- {name: pipe, debug: {msg: \"{{ lookup('pipe', 'echo piped') }}\"}}"
        "\n- {name: raw, raw: echo raw}\n")
    assert told["script"]["here"]["stdout"].split() == ["script", "word"]
    assert told["pipe"]["here"]["msg"] == "piped"
    assert told["raw"]["here"]["stdout"].split() == ["raw"]


def test_facts(play):
    _, told = play.run("- {name: said, debug: {msg: '{{ ansible_system }} "
                       "{{ ansible_facts.distribution }}'}}\n", facts="true")
    assert told["said"]["here"]["msg"].startswith("Linux ")


def test_time_outs(play):
    _, told = play.run("- {name: slow, command: sleep 60, timeout: 2}\n",
                       status=2)
    assert "expected time frame (2)" in told["slow"]["here"]["msg"]
