"""Frames, markers, picture grids, backend selection and the interactive window."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import mujoco
import numpy as np
import pytest

from safety_gym import rendering
from safety_gym.rendering import FrameRenderer, GLUnavailable, Marker, compass_marker, cost_marker, grid, lidar_markers
from safety_gym.viewer import SPEEDS, DisplayUnavailable, Events, Keyboard, Playback, Viewer, advance, play
from tests.helpers import x_server

ROOT = Path(__file__).resolve().parents[1]


def small_scene() -> tuple[mujoco.MjModel, mujoco.MjData]:
    """A red ball and a blue box on a plane of 4 m, seen by cameras from the side and from above."""
    spec = mujoco.MjSpec()
    world = spec.worldbody
    world.add_light(type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, pos=[0, 0, 0.5], dir=[0, 0, -1], diffuse=[1, 1, 1])
    world.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[2, 2, 0.1], rgba=[0.8, 0.8, 0.8, 1])
    ball = world.add_body(name="ball", pos=[0, 0, 0.5])
    ball.add_freejoint()
    ball.add_geom(name="ball", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.5, 0, 0], rgba=[1, 0, 0, 1])
    world.add_geom(name="box", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.2] * 3, pos=[1.2, 0, 0.2], rgba=[0, 0, 1, 1])
    world.add_camera(name="side", pos=[0, -3, 0.5], xyaxes=[1, 0, 0, 0, 0, 1])
    world.add_camera(name="above", pos=[0, 0, 4], xyaxes=[1, 0, 0, 0, 1, 0])
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


@pytest.fixture
def scene() -> tuple[mujoco.MjModel, mujoco.MjData]:
    return small_scene()


def run_python(code: str, **env: str | None) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter; an environment variable given as None is removed."""
    merged: dict[str, str | None] = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={key: value for key, value in merged.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


# Frames


@pytest.mark.gl
@pytest.mark.usefixtures("opengl")
class TestFrames:
    def test_colour_depth_segmentation(self, scene):
        model, data = scene
        with FrameRenderer(model, 80, 60) as renderer:
            colour = renderer.render(data, "side")
            depth = renderer.render(data, "side", depth=True)
            segmentation = renderer.render(data, "side", segmentation=True)
        assert colour.shape == (60, 80, 3) and colour.dtype == np.uint8
        red, green, blue = colour[30, 40].astype(int)
        assert red > 100 and green < 90 and blue < 90
        assert depth.shape == (60, 80) and depth.dtype == np.float32
        assert depth[30, 40] == pytest.approx(2.5, abs=0.02)
        assert depth[0, 0] > 10  # nothing there: the far plane
        assert segmentation.shape == (60, 80, 2) and segmentation.dtype == np.int32
        assert segmentation[30, 40].tolist() == [model.geom("ball").id, mujoco.mjtObj.mjOBJ_GEOM]
        assert segmentation[0, 0].tolist() == [-1, -1]
        assert set(np.unique(segmentation[..., 0])) == {-1, 0, 1, 2}

    def test_top_of_the_picture_is_up(self, scene):
        model, data = scene
        with FrameRenderer(model, 64, 64) as renderer:
            segmentation = renderer.render(data, "side", segmentation=True)[..., 0]
        assert segmentation[-1, 32] == model.geom("floor").id
        assert segmentation[0, 32] == -1
        assert (segmentation[:, 40:] == model.geom("box").id).any()
        assert not (segmentation[:, :32] == model.geom("box").id).any()

    def test_frames_are_fresh_and_repeatable(self, scene):
        model, data = scene
        with FrameRenderer(model, 64, 64) as renderer:
            frames = [renderer.render(data, "side") for _ in range(2)]
            depths = [renderer.render(data, "side", depth=True) for _ in range(2)]
            frames.append(renderer.render(data, "side"))
        assert not np.may_share_memory(frames[0], frames[1])
        assert not np.may_share_memory(depths[0], depths[1])
        assert (frames[0] == frames[1]).all() and (frames[0] == frames[2]).all()

    def test_frame_follows_the_data(self, scene):
        model, data = scene
        other = mujoco.MjData(model)
        other.qpos[:3] = 1.0, 1.0, 1.5
        mujoco.mj_forward(model, other)
        with FrameRenderer(model, 64, 64) as renderer:
            before, moved = renderer.render(data, "above"), renderer.render(other, "above")
            again = renderer.render(data, "above")
        assert (before != moved).any() and (before == again).all()

    def test_geom_colour_can_change_between_frames(self, scene):
        model, data = scene
        with FrameRenderer(model, 64, 64) as renderer:
            before = renderer.render(data, "side")[32, 32]
            model.geom("ball").rgba[:] = 0, 1, 0, 1
            after = renderer.render(data, "side")[32, 32]
        assert before[0] > before[1] and after[1] > after[0]

    @pytest.mark.parametrize("size", [(1, 1), (7, 300), (1000, 700)])
    def test_any_size(self, scene, size):
        model, data = scene
        kept = model.vis.global_.offwidth, model.vis.global_.offheight, model.vis.quality.offsamples
        with FrameRenderer(model, *size, offsamples=0) as renderer:
            assert renderer.render(data, "side").shape == (size[1], size[0], 3)
        assert (model.vis.global_.offwidth, model.vis.global_.offheight, model.vis.quality.offsamples) == kept

    def test_anti_aliasing_mixes_colours_at_edges(self, scene):
        model, data = scene
        ncolour = []
        for offsamples in (0, 4):
            with FrameRenderer(model, 64, 64, offsamples=offsamples) as renderer:
                ncolour.append(len(np.unique(renderer.render(data, "side").reshape(-1, 3), axis=0)))
        assert ncolour[1] > ncolour[0]

    def test_shadows(self, scene):
        model, data = scene
        data.qpos[2] = 1.5
        mujoco.mj_forward(model, data)
        darkest = []
        for shadows in (False, True):
            with FrameRenderer(model, 96, 96, shadows=shadows) as renderer:
                frame = renderer.render(data, "above").astype(int)
                floor = renderer.render(data, "above", segmentation=True)[..., 0] == model.geom("floor").id
            darkest.append(np.percentile(frame[floor].sum(axis=-1), 2) / np.median(frame[floor].sum(axis=-1)))
        assert darkest[0] > 0.8 and darkest[1] < 0.6

    def test_two_renderers_in_turn(self, scene):
        model, data = scene
        other_model, other_data = small_scene()
        other_model.geom("ball").rgba[:] = 0, 1, 0, 1
        with FrameRenderer(model, 64, 64) as a, FrameRenderer(other_model, 32, 48) as b:
            first = a.render(data, "side"), b.render(other_data, "above")
            second = a.render(data, "side"), b.render(other_data, "above")
        assert first[0].shape == (64, 64, 3) and first[1].shape == (48, 32, 3)
        assert (first[0] == second[0]).all() and (first[1] == second[1]).all()

    def test_close_and_reopen(self, scene):
        model, data = scene
        frames = []
        for _ in range(5):
            renderer = FrameRenderer(model, 48, 48)
            frames.append(renderer.render(data, "side"))
            renderer.close()
            renderer.close()
            with pytest.raises(RuntimeError, match="closed"):
                renderer.render(data, "side")
        assert all((frame == frames[0]).all() for frame in frames)

    def test_cameras_by_id_and_free(self, scene):
        model, data = scene
        with FrameRenderer(model, 48, 48) as renderer:
            assert (renderer.render(data, 1) == renderer.render(data, "above")).all()
            assert renderer.render(data, -1).std() > 0

    def test_one_thread_per_renderer(self, scene):
        model, data = scene
        errors: list[Exception] = []

        def draw(renderer: FrameRenderer) -> None:
            try:
                renderer.render(data, "side")
            except RuntimeError as error:
                errors.append(error)

        with FrameRenderer(model, 32, 32) as renderer:
            renderer.render(data, "side")
            thread = threading.Thread(target=draw, args=(renderer,))
            thread.start()
            thread.join()
            assert renderer.render(data, "side").any()
        assert len(errors) == 1 and "thread" in str(errors[0])


class TestArguments:
    """None of these reaches OpenGL."""

    def test_size_and_samples(self, scene):
        for width, height in ((0, 10), (10, -1), (10**6, 10)):
            with pytest.raises(ValueError, match="pixels"):
                FrameRenderer(scene[0], width, height)
        with pytest.raises(ValueError, match="offsamples"):
            FrameRenderer(scene[0], 10, 10, offsamples=-1)

    def test_camera(self, scene):
        renderer = FrameRenderer(*scene[:1])
        with pytest.raises(ValueError, match=r"'sied'; did you mean 'side'\? the model has side, above"):
            renderer.render(scene[1], "sied")
        with pytest.raises(ValueError, match="from -1 to 1"):
            renderer.render(scene[1], 2)

    def test_depth_and_segmentation(self, scene):
        with pytest.raises(ValueError, match="one of them"):
            FrameRenderer(scene[0]).render(scene[1], "side", depth=True, segmentation=True)


# Markers


class TestMarkers:
    def test_lidar_ring_in_the_robots_frame(self):
        readings = np.array([[0.0, 0.5, 0.95, 1.0], [0.2, 0.0, 0.0, 0.0]])
        turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        markers = lidar_markers([1.0, 2.0, 0.1], turn, readings, [[0, 0, 1], [0, 1, 0]], [0, 3])
        assert len(markers) == 8 and {m.kind for m in markers} == {"sphere"}
        pos = np.array([m.pos for m in markers])
        corner = 0.15 * np.sqrt(0.5)
        # Bin 0 is at 45 degrees in the robot's frame, which is turned by 90 degrees.
        np.testing.assert_allclose(pos[0], [1.0 - corner, 2.0 + corner, 0.6], atol=1e-12)
        np.testing.assert_allclose(pos[4], [1.0 - corner, 2.0 + corner, 0.6 + 3 * 0.06], atol=1e-12)
        np.testing.assert_allclose(np.linalg.norm(pos[:, :2] - [1.0, 2.0], axis=1), 0.15)
        rgba = np.array([m.rgba for m in markers])
        np.testing.assert_allclose(rgba[:4], np.outer([0.1, 0.6, 1.0, 1.0], [0, 0, 1, 1]))
        np.testing.assert_allclose(rgba[4], [0, 0.3, 0, 0.3])
        assert all(np.allclose(m.size, 0.025) for m in markers)

    def test_lidar_shapes_are_checked(self):
        with pytest.raises(ValueError, match="2 lidars need 2 colors"):
            lidar_markers(np.zeros(3), np.eye(3), np.zeros((2, 16)), np.ones((3, 4)), [0, 1])

    def test_compass_and_cost(self):
        compass = compass_marker([0, 0, 0.1], np.eye(3), [0.0, 1.0, 0.0], [0, 1, 0, 1], 2)
        np.testing.assert_allclose(compass.pos, [0, 0.15, 0.72])
        np.testing.assert_allclose(compass.rgba, [0, 0.5, 0, 0.5])
        cost = cost_marker([1, 2, 3])
        np.testing.assert_allclose(cost.pos, [1, 2, 3])
        np.testing.assert_allclose(cost.size, 0.25)
        np.testing.assert_allclose(cost.rgba, [0.5, 0, 0, 0.5])

    @pytest.mark.gl
    @pytest.mark.usefixtures("opengl")
    @pytest.mark.parametrize("kind", ["sphere", "box", "cylinder"])
    def test_visible_in_colour_only(self, scene, kind):
        model, data = scene
        marker = Marker(kind, (0, -1.5, 0.5), (0.2, 0.2, 0.2), (0, 1, 0, 1))
        with FrameRenderer(model, 64, 64) as renderer:
            plain = renderer.render(data, "side")
            marked = renderer.render(data, "side", markers=[marker])
            assert marked[32, 32, 1] > 80 > marked[32, 32, 0] and plain[32, 32, 0] > 80
            again = renderer.render(data, "side")
            depths = [renderer.render(data, "side", depth=True, markers=m) for m in ([], [marker])]
            ids = [renderer.render(data, "side", segmentation=True, markers=m) for m in ([], [marker])]
        assert (again == plain).all()  # no marker stays behind
        assert (depths[0] == depths[1]).all() and (ids[0] == ids[1]).all()

    @pytest.mark.gl
    @pytest.mark.usefixtures("opengl")
    def test_every_part_in_view_is_drawn(self, scene):
        """Markers out of view are left out; none that shows may be missing, however far it reaches in."""
        model, data = scene
        rng = np.random.default_rng(0)
        with FrameRenderer(model, 48, 32, offsamples=0) as renderer:
            for camera in ("side", "above"):
                for _ in range(30):
                    box = Marker("box", rng.uniform(-4, 4, 3), rng.uniform(0.05, 1.5, 3), (0, 1, 0, 1))
                    frame = renderer.render(data, camera, markers=[box])
                    everything = rendering._in_view
                    rendering._in_view = lambda camera, aspect, pos, radius: np.ones(len(pos), bool)
                    try:
                        complete = renderer.render(data, camera, markers=[box])
                    finally:
                        rendering._in_view = everything
                    assert (frame == complete).all()

    @pytest.mark.gl
    @pytest.mark.usefixtures("opengl")
    def test_unknown_kind_and_too_many(self, scene):
        model, data = scene
        with FrameRenderer(model, 32, 32) as renderer:
            with pytest.raises(ValueError, match="unknown marker kind 'cone'; accepted: sphere"):
                renderer.render(data, "side", markers=[Marker("cone", (0, 0, 0), (1, 1, 1), (1, 1, 1, 1))])
            with pytest.raises(ValueError, match="too many"):
                renderer.render(data, "side", markers=[cost_marker((0, 0, 0))] * rendering.MAX_GEOMS)
            assert renderer.render(data, "side").any()


# Backends


NO_GL = """
    import mujoco
    from safety_gym import rendering
    model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><camera name="c"/></worldbody></mujoco>')
    data = mujoco.MjData(model)
    for _ in range(3):
        try:
            rendering.FrameRenderer(model, 32, 32).render(data, "c")
        except rendering.GLUnavailable as error:
            print(error)
        rendering.subprocess = None  # a second probe would fail loudly
    print("alive")
"""


class TestBackends:
    def test_import_leaves_opengl_alone(self):
        done = run_python(
            """
            import sys
            import safety_gym.rendering, safety_gym.viewer
            print([name for name in ("OpenGL", "pygame", "PIL") if name in sys.modules])
            """,
            MUJOCO_GL=None,
        )
        assert done.stdout.strip() == "[]", done.stderr

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="EGL and OSMesa are Linux backends")
    @pytest.mark.parametrize("skip_probe", ["0", "1"])
    def test_missing_libraries(self, tmp_path, skip_probe):
        for library in ("libEGL.so", "libOSMesa.so"):
            for suffix in ("", *(f".{i}" for i in range(10))):
                (tmp_path / (library + suffix)).write_text("not a library")
        env = {"LD_LIBRARY_PATH": str(tmp_path), "SAFETY_GYM_SKIP_GL_PROBE": skip_probe}
        env |= dict.fromkeys(("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL", "PYOPENGL_PLATFORM"))
        done = run_python(NO_GL, **env)
        assert done.returncode == 0 and done.stdout.endswith("alive\n"), done.stderr
        assert done.stdout.count("libegl1") == done.stdout.count("libosmesa6") == 3
        assert re.search(r"egl: .*libEGL\.so\.1", done.stdout) and re.search(r"osmesa: .*libOSMesa\.so\.8", done.stdout)

    @pytest.mark.parametrize(
        ("env", "message"),
        [({"MUJOCO_GL": "off"}, "switched off by"), ({"MUJOCO_GL": "vulkan"}, "unknown MUJOCO_GL='vulkan'; accepted")],
    )
    def test_switched_off_or_unknown(self, monkeypatch, env, message):
        monkeypatch.setattr(rendering, "_failure", None)
        with pytest.raises(GLUnavailable, match=message):
            rendering._candidates(env)

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the order of Linux")
    @pytest.mark.parametrize(
        ("env", "expected"),
        [
            ({}, ("egl", "osmesa")),
            ({"DISPLAY": ":0"}, ("egl", "glfw", "osmesa")),
            ({"MUJOCO_GL": "OSMesa"}, ("osmesa",)),
            ({"MUJOCO_GL": "glx"}, ("glfw",)),
            ({"MUJOCO_GL": "1", "WAYLAND_DISPLAY": "wayland-0"}, ("egl", "glfw", "osmesa")),
            ({"PYOPENGL_PLATFORM": "osmesa"}, ("osmesa",)),
        ],
    )
    def test_order(self, env, expected):
        assert rendering._candidates(env) == expected

    def test_working_backends(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(rendering, "_probed", {})
        backends = rendering.working_backends()
        assert backends and all(isinstance(reason, str) and reason for reason in backends.values())
        if sys.platform.startswith("linux"):
            assert set(backends) == {"egl", "osmesa", "glfw"}
        assert not list(tmp_path.iterdir())

    @pytest.mark.gl
    @pytest.mark.parametrize("backend", ["egl", "osmesa", "glfw"])
    @pytest.mark.parametrize("chosen_by", ["variable before import", "variable after import"])
    def test_each_backend(self, backend, chosen_by):
        if (reason := rendering.working_backends().get(backend, "not on this platform")) != "ok":
            pytest.skip(f"{backend}: {reason}")
        done = run_python(
            f"""
            import os
            import mujoco
            os.environ["MUJOCO_GL"] = {backend!r}
            from safety_gym import rendering
            model = mujoco.MjModel.from_xml_string(
                '<mujoco><worldbody><light pos="0 0 1"/><geom size=".4" rgba="1 0 0 1"/>'
                '<camera name="c" pos="0 -2 0" xyaxes="1 0 0 0 0 1"/></worldbody></mujoco>')
            data = mujoco.MjData(model)
            mujoco.mj_forward(model, data)
            frame = rendering.FrameRenderer(model, 64, 64).render(data, "c")
            print(rendering.select_backend(), frame[32, 32, 0] > 50, frame[0, 0, 0] < 10)
            """,
            MUJOCO_GL=backend if chosen_by == "variable before import" else None,
            PYOPENGL_PLATFORM=None,
        )
        assert done.returncode == 0 and done.stdout.split() == [backend, "True", "True"], done.stderr
        assert "Exception ignored" not in done.stderr  # everything was closed before the interpreter ended

    @pytest.mark.gl
    @pytest.mark.usefixtures("opengl")
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.parametrize("thread", ["the same", "another"])
    def test_fork(self, thread):
        """Parent and child draw on after a fork; a child of another thread than the one that draws gets an error."""
        done = run_python(
            """
            import multiprocessing, mujoco, threading
            from safety_gym import rendering
            model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><camera name="c"/></worldbody></mujoco>')
            data = mujoco.MjData(model)
            mujoco.mj_forward(model, data)
            renderer = rendering.FrameRenderer(model, 32, 32)
            def draw():
                for r in (renderer, rendering.FrameRenderer(model, 32, 32)):
                    try:
                        print("child", r.render(data, "c").shape, flush=True)
                    except rendering.GLUnavailable as error:
                        print("child", str(error).split()[:4], flush=True)
                    r.close()
            def fork():
                child = multiprocessing.get_context("fork").Process(target=draw)
                child.start()
                child.join(60)
                print("exit", child.exitcode, flush=True)
                child.kill()
            for _ in range(2):
                thread = threading.Thread(target=fork)
                THREAD
                print("parent", renderer.render(data, "c").shape, flush=True)
            """.replace("THREAD", "fork()" if thread == "the same" else "thread.start(), thread.join()")
        )
        lines = done.stdout.splitlines()
        drawn = ["child (32, 32, 3)"] * 2
        refused = ["child ['this', 'process', 'was', 'forked']"] * 2
        rest = ["exit 0", "parent (32, 32, 3)"]
        assert lines == [*drawn, *rest, *(drawn if thread == "the same" else refused), *rest], done.stderr
        assert "Exception ignored" not in done.stderr and "Error" not in done.stderr

    @pytest.mark.gl
    @pytest.mark.usefixtures("opengl")
    def test_a_failure_in_the_process_is_remembered(self):
        done = run_python(
            """
            import mujoco
            from safety_gym import rendering
            model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><camera name="c"/></worldbody></mujoco>')
            data = mujoco.MjData(model)
            calls = []
            def broken(*args, **kwargs):
                calls.append(1)
                raise mujoco.FatalError("no luck")
            mujoco.MjrContext = broken
            for _ in range(3):
                try:
                    rendering.FrameRenderer(model, 32, 32).render(data, "c")
                except rendering.GLUnavailable as error:
                    assert "no luck" in str(error) and "libegl1" in str(error)
                else:
                    raise SystemExit("no error")
            print(len(calls), model.vis.global_.offwidth)
            """
        )
        assert done.stdout.split() == ["1", "640"], done.stderr


# Pictures


class TestGrid:
    def test_places(self):
        frames = [np.full((10, 20, 3), 10 * (i + 1), np.uint8) for i in range(3)]
        picture = grid(frames, 2, gap=2, background=0)
        assert picture.shape == (2 * 12 + 2, 2 * 22 + 2, 3) and picture.dtype == np.uint8
        assert (picture[2:12, 2:22] == 10).all() and (picture[2:12, 24:44] == 20).all()
        assert (picture[14:24, 2:22] == 30).all() and (picture[14:24, 24:44] == 0).all()

    def test_labels(self):
        pytest.importorskip("PIL", reason="labels need Pillow")
        frames = [np.zeros((100, 120, 3), np.uint8)] * 2
        picture = grid(frames, 2, ["SafetyPointGoal1-v0", "a label much too long for the width of its frame"])
        strip = picture[106:-6]
        assert strip.shape[0] == 18
        for x in (6, 132):
            assert (strip[:, x : x + 120] < 100).any()
            assert (strip[:, x - 4 : x] == 255).all()

    @pytest.mark.parametrize(
        ("frames", "columns", "labels", "message"),
        [
            ([], 1, None, "one or more"),
            ([np.zeros((4, 4, 3)), np.zeros((4, 5, 3))], 1, None, "one shape"),
            ([np.zeros((4, 4))], 1, None, "colour"),
            ([np.zeros((4, 4, 3))], 0, None, "columns"),
            ([np.zeros((4, 4, 3))], 1, ["a", "b"], "1 labels, got 2"),
        ],
    )
    def test_arguments(self, frames, columns, labels, message):
        with pytest.raises(ValueError, match=message):
            grid(frames, columns, labels)


# The window


class TestKeys:
    def test_camera_pause_step_reset(self):
        state = advance(Playback(), Events(pressed=("tab", "tab", "space", "r")), 3)
        assert (state.camera, state.paused, state.reset, state.step) == (2, True, True, False)
        state = advance(state, Events(pressed=("tab",)), 3)
        assert (state.camera, state.paused, state.reset) == (0, True, False)
        state = advance(state, Events(pressed=("right",)), 3)
        assert state.paused and state.step
        state = advance(state, Events(pressed=("space", "x")), 3)
        assert not state.paused and not state.step

    def test_speed_stays_in_range(self):
        state = Playback()
        for key, limit in (("f", SPEEDS[-1]), ("s", SPEEDS[0])):
            for _ in range(20):
                state = advance(state, Events(pressed=(key,)), 1)
            assert state.speed == limit

    def test_close(self):
        assert advance(Playback(), Events(pressed=("escape",)), 1).closed
        state = advance(Playback(), Events(closed=True), 1)
        assert state.closed and advance(state, Events(), 1).closed

    def test_keyboard(self):
        keyboard = Keyboard()
        for key in ("i", "tab", "l", "j"):
            keyboard.down(key)
        keyboard.up("l")
        assert keyboard.poll() == Events(frozenset("ij"), ("i", "tab", "l", "j"))
        assert keyboard.poll() == Events(frozenset("ij"))
        keyboard.release_all()
        keyboard.up("i")
        assert keyboard.poll() == Events()


@pytest.fixture(scope="module")
def display():
    """A virtual X display, or SDL's dummy driver where Xvfb is not installed."""
    if shutil.which("Xvfb") is None:
        yield {"SDL_VIDEODRIVER": "dummy"}
        return
    with x_server() as address:
        yield {"DISPLAY": address} if address else {"SDL_VIDEODRIVER": "dummy"}


class TestViewer:
    @pytest.fixture
    def pygame(self, display, monkeypatch):
        pygame = pytest.importorskip("pygame", reason="the window needs pygame")
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
            monkeypatch.delenv(name, raising=False)
        for name, value in display.items():
            monkeypatch.setenv(name, value)
        yield pygame
        pygame.display.quit()

    @staticmethod
    def press(pygame, *keys, release=True):
        for key in keys:
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.key.key_code(key)))
            if release:
                pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.key.key_code(key)))

    def test_frame_text_screenshot(self, pygame, tmp_path):
        frame = np.zeros((50, 100, 3), np.uint8)
        frame[:, :50] = 200, 0, 0
        frame[:, 50:] = 0, 0, 200
        with Viewer("a test", (300, 300), screenshots=tmp_path) as viewer:
            viewer.show(frame, ["reward 1.0", "cost 0.0"])
            shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
            assert shown.shape == (300, 300, 3)
            assert shown[200, 20].tolist() == [200, 0, 0] and shown[200, 280].tolist() == [0, 0, 200]
            assert (shown[240:] == 0).all()  # the frame keeps its proportions
            assert (shown[:60, :100].min(axis=-1) > 200).any()  # white letters
            self.press(pygame, "t", "h")
            viewer.show(frame, ["reward 1.0", "cost 0.0"])
            shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
            assert not (shown[:60, :100].min(axis=-1) > 200).any()  # H hides the text
        (picture,) = tmp_path.glob("screenshot-*.png")
        saved = pygame.surfarray.array3d(pygame.image.load(picture)).swapaxes(0, 1)
        assert (saved == shown).all()

    def test_keys_and_close(self, pygame):
        viewer = Viewer("a test", (100, 100))
        self.press(pygame, "i", "l", release=False)
        self.press(pygame, "tab")
        events = viewer.poll()
        assert events == Events(frozenset("il"), ("i", "l", "tab"))
        pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.K_i))
        assert viewer.poll().held == {"l"}
        pygame.event.post(pygame.event.Event(pygame.QUIT))
        assert viewer.poll().closed and viewer.closed
        viewer.show(np.zeros((8, 8, 3), np.uint8))  # a closed window is no error
        viewer.close()
        viewer.close()
        assert viewer.poll().closed

    def test_newest_viewer_gets_the_window(self, pygame):
        first, second = Viewer("first", (60, 60)), Viewer("second", (80, 80))
        assert first.closed and not second.closed
        first.close()
        second.show(np.zeros((8, 8, 3), np.uint8))
        assert pygame.display.get_surface().get_size() == (80, 80)
        second.close()

    def test_frame_is_checked(self, pygame):
        with Viewer(size=(60, 60)) as viewer, pytest.raises(ValueError, match=r"\(h, w, 3\) uint8, got \(4, 4\)"):
            viewer.show(np.zeros((4, 4), np.uint8))

    def test_play(self, pygame):
        steps, cameras, resets = [], [], []
        script = {2: ("i",), 3: ("tab", "f"), 5: ("space",), 7: ("right",), 8: ("r",), 10: ("escape",)}

        def frame(camera):
            cameras.append(camera)
            self.press(pygame, *script.get(len(cameras), ()), release=len(cameras) != 2)
            return np.zeros((8, 8, 3), np.uint8)

        with Viewer(size=(60, 60)) as viewer:
            play(
                viewer,
                frame=frame,
                step=lambda held: steps.append(held),
                reset=lambda: resets.append(len(steps)),
                lines=lambda: ["a line"],
                cameras=["near", "far"],
                fps=1000,
            )
        assert cameras == ["near"] * 3 + ["far"] * 7
        # one step a frame, two after F, none while paused but the single one; I held from the third frame on
        assert [len(h) for h in steps] == [0, 0] + [1] * 6
        assert resets == [8]

    def test_no_display(self, pygame, monkeypatch):
        if not sys.platform.startswith("linux"):
            pytest.skip("windows always open here")
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(DisplayUnavailable, match=r"no display.*xvfb-run"):
            Viewer()

    def test_without_pygame(self, pygame, monkeypatch):
        monkeypatch.setitem(sys.modules, "pygame", None)
        with pytest.raises(ImportError, match="install the 'render' extra"):
            Viewer()
