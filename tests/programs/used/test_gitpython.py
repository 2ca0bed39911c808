"""GitPython at work: each way in which it starts git, with what a user sees.

Run by run.py, plain and under xlchild; git is Debian's.
"""
import os
import signal

import git
import pytest

SLOW = "#!/bin/sh\necho so far\nexec sleep 60\n"


@pytest.fixture(name="repo")
def repo_fixture(tmp_path):
    repo = git.Repo.init(tmp_path / "repo")
    with repo.config_writer() as config:
        config.set_value("user", "name", "A")
        config.set_value("user", "email", "a@example.org")
    for number in range(3):
        path = tmp_path / "repo" / ("file%d" % number)
        path.write_text("line\n" * (number + 1))
        repo.index.add([str(path)])
        repo.index.commit("commit %d" % number)
    yield repo
    repo.close()


def test_commits_and_their_trees(repo):
    assert [c.message for c in repo.iter_commits()] == [
        "commit 2", "commit 1", "commit 0"]
    assert sorted(blob.name for blob in repo.head.commit.tree.blobs) == [
        "file0", "file1", "file2"]
    assert repo.head.commit.count() == 3
    assert repo.head.commit.stats.total["insertions"] == 3


def test_blobs_over_the_persistent_cat_file(repo):
    tree = repo.head.commit.tree
    for _ in range(20):
        for number in range(3):
            blob = tree["file%d" % number]
            assert repo.git.get_object_data(blob.hexsha)[3] \
                == b"line\n" * (number + 1)
    repo.git.clear_cache()  # ends it
    assert repo.git.get_object_data(tree["file0"].hexsha)[3] == b"line\n"


def test_working_tree_status(repo):
    assert not repo.is_dirty()
    with open(os.path.join(repo.working_dir, "file1"), "w") as file:
        file.write("other\n")
    with open(os.path.join(repo.working_dir, "new"), "w") as file:
        file.write("new\n")
    assert repo.is_dirty()
    assert repo.untracked_files == ["new"]
    assert [d.a_path for d in repo.index.diff(None)] == ["file1"]
    patch = repo.index.diff(None, create_patch=True)[0].diff
    assert b"+other" in patch


def test_branches_merge_and_tags(repo):
    first = repo.active_branch
    topic = repo.create_head("topic", "HEAD~1")
    topic.checkout()
    assert repo.active_branch.name == "topic"
    repo.git.merge(first.name)
    assert topic.commit == first.commit
    repo.create_tag("v1", message="one")
    assert [tag.name for tag in repo.tags] == ["v1"]
    assert repo.tags[0].tag.message == "one"


def test_blame_both_ways(repo):
    told = repo.blame("HEAD", "file2")
    assert [line for _, lines in told for line in lines] == ["line"] * 3
    told = list(repo.blame_incremental("HEAD", "file2"))
    assert sum(len(entry.linenos) for entry in told) == 3


def test_archive_into_a_file(repo, tmp_path):
    with open(tmp_path / "tar", "wb") as file:
        repo.archive(file)
    assert (tmp_path / "tar").stat().st_size > 1000


class Progress(git.RemoteProgress):
    """Counts what it is told."""

    lines = 0

    def update(self, op_code, cur_count, max_count=None, message=""):
        """From the thread that reads stderr."""
        self.lines += 1


def test_clone_fetch_push_with_progress(repo, tmp_path):
    progress = Progress()
    bare = git.Repo.clone_from("file://" + repo.working_dir,
                               tmp_path / "bare", bare=True,
                               progress=progress)
    assert progress.lines > 0
    clone = git.Repo.clone_from(str(tmp_path / "bare"), tmp_path / "clone")
    branch = clone.active_branch.name
    assert clone.remote().fetch()[0].commit == repo.head.commit
    path = tmp_path / "clone" / "pushed"
    path.write_text("pushed\n")
    clone.index.add([str(path)])
    with clone.git.custom_environment(GIT_AUTHOR_NAME="A",
                                      GIT_AUTHOR_EMAIL="a@example.org"):
        clone.index.commit("pushed")
    clone.remote().push(branch, progress=Progress())
    assert bare.commit(branch).message == "pushed"
    told = repo.create_remote("bare", str(tmp_path / "bare")).pull(branch)
    assert told[0].commit.message == "pushed"


def test_fetch_of_a_missing_remote(repo, tmp_path):
    remote = repo.create_remote("none", str(tmp_path / "none"))
    with pytest.raises(git.GitCommandError) as caught:
        remote.fetch()
    assert caught.value.status == 128


def test_a_command_that_fails(repo):
    with pytest.raises(git.GitCommandError) as caught:
        repo.git.checkout("no-such-branch")
    assert caught.value.status == 1
    assert "no-such-branch" in caught.value.stderr


def test_a_program_that_there_is_not(repo):
    with pytest.raises(git.GitCommandNotFound):
        repo.git.execute(["no-such-program"])


def test_with_extended_output(repo):
    status, out, err = repo.git.execute(
        ["git", "rev-parse", "HEAD~5"], with_extended_output=True,
        with_exceptions=False)
    assert status == 128 and "HEAD~5" in out + err


def test_as_process_with_input(repo):
    process = repo.git.hash_object("--stdin", as_process=True,
                                   istream=-1)
    out, _ = process.communicate(b"line\n")
    assert out.decode().strip() == \
        repo.head.commit.tree["file0"].hexsha
    assert process.wait() == 0


def test_as_process_left_alone(repo):
    for _ in range(5):
        process = repo.git.cat_file("--batch", as_process=True, istream=-1)
        pid = process.proc.pid
        del process  # AutoInterrupt ends it and waits
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_kill_after_timeout(repo, tmp_path):
    slow = tmp_path / "slow"
    slow.write_text(SLOW)
    slow.chmod(0o755)
    status, _, err = repo.git.execute(
        [str(slow)], with_extended_output=True, with_exceptions=False,
        kill_after_timeout=1)
    assert status == -signal.SIGKILL
    assert "Timeout" in err


def test_a_hook(repo, tmp_path):
    hook = tmp_path / "repo" / ".git" / "hooks" / "commit-msg"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ngrep -q good $1 || exit 7\n")
    hook.chmod(0o755)
    assert repo.index.commit("good").message == "good"
    with pytest.raises(git.HookExecutionError) as caught:
        repo.index.commit("bad")
    assert caught.value.status == 7


def test_submodules(repo, tmp_path):
    with repo.config_writer() as config:
        config.set_value("protocol.file", "allow", "always")
    other = git.Repo.init(tmp_path / "other")
    other.index.commit("there")
    repo.git.execute(["git", "-c", "protocol.file.allow=always", "submodule",
                      "add", str(tmp_path / "other"), "inside"])
    repo.index.commit("with a submodule")
    assert [module.path for module in repo.submodules] == ["inside"]
    assert repo.submodules[0].module_exists()


def test_worktrees_in_many_threads(repo, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    def look(_):
        mine = git.Repo(repo.working_dir)
        try:
            return mine.git.rev_parse("HEAD"), mine.git.log("--oneline")
        finally:
            mine.close()
    with ThreadPoolExecutor(8) as pool:
        told = set(pool.map(look, range(40)))
    assert len(told) == 1
