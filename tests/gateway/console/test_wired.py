"""The management API of a whole gateway, asked by the command line with the kubeconfig that gateway wrote."""

from pathlib import Path

import trio
from click.testing import CliRunner

from gateway.cli.approvals import approvals
from gateway.cli.revoke import revoke
from tests.kit.console_rig import make_hold
from tests.kit.gateway_rig import open_rig


async def test_the_first_user_sees_and_revokes_with_his_own_data_directory(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        state = rig.gateway.services.state
        hold = make_hold(state.now_ns(), "ann", 300, {})
        await state.append(hold)
        here = ("--data-dir", str(rig.gateway.data_dir))

        def run() -> tuple[str, str]:
            listed = CliRunner().invoke(approvals, ["ls", "-o", "name", *here])
            ended = CliRunner().invoke(revoke, ["user", "ann", "--reason", "left", *here])
            assert (listed.exit_code, ended.exit_code) == (0, 0), (listed.output, ended.output)
            return listed.stdout.strip(), ended.stdout.strip()

        shown, revocation = await trio.to_thread.run_sync(run)
        assert shown == hold.id
        assert len(revocation) == 8
        assert [revoked.subject for revoked in state.view.revocations(state.now_ns())] == ["ann"]
        written = await rig.written()
        assert [r.kind for r in written if type(r).__name__ == "StateChanged"] == ["HoldRequested", "Revoked"]  # type: ignore[attr-defined]
