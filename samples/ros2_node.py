"""A node of ROS 2 by rclpy: pictures of each view by a topic, answers as vision_msgs/Classification.

python samples/ros2_node.py BUNDLE incar=/cabin/image/compressed front=/front/image/compressed

NOT RUN under ROS so far: none of the machines that codriver is tested on has it. A test plays rclpy by a stand-in and
holds the messages' fields and types against rosbags' definitions; that says nothing of rclpy itself, of QoS between two
nodes or of DDS. ros2_zenoh.py needs no ROS, and is run.
"""

import sys
from functools import partial

import cv2
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage
from vision_msgs.msg import Classification, ObjectHypothesis

from codriver import Frame, Perceiver

RATE_HZ = 15


class Codriver(Node):
    """Steps at its own rate, with the newest picture of each view: a camera that is silent is told by the answers."""

    def __init__(self, perceiver: Perceiver, topics: dict[str, str]) -> None:
        super().__init__("codriver")
        self.perceiver, self.frames, self.answers = perceiver, {}, {}
        for view, topic in topics.items():  # sensor data: best effort, which hears reliable cameras too
            self.create_subscription(CompressedImage, topic, partial(self.take, view), qos_profile_sensor_data)
        for task in perceiver.manifest.tasks:
            self.answers[task.name] = self.create_publisher(Classification, f"/codriver/{task.name}/classes", 10)
        self.create_timer(1 / RATE_HZ, self.step)

    def take(self, view: str, message: CompressedImage) -> None:
        image = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)  # BGR, None if it is no picture
        if image is not None:
            stamp = message.header.stamp  # when it was taken, if the camera's driver is a good one
            self.frames[view] = Frame(image, t=stamp.sec + stamp.nanosec / 1e9)

    def step(self) -> None:
        now, frames, self.frames = self.get_clock().now(), self.frames, {}
        percept = self.perceiver.step(frames, t=now.nanoseconds / 1e9)
        for task, result in percept.tasks.items():  # no hypothesis: no answer
            ordered = sorted(result.probabilities.items(), key=lambda item: -item[1])
            message = Classification(results=[ObjectHypothesis(class_id=label, score=p) for label, p in ordered])
            message.header.stamp = now.to_msg()
            self.answers[task].publish(message)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    rclpy.init()
    with Perceiver.open(sys.argv[1]) as opened:
        rclpy.spin(Codriver(opened, dict(argument.split("=", 1) for argument in sys.argv[2:])))
