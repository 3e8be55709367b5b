"""A CloudFormation template for what `run --emf` writes: metric filter and alarms. `cfn-lint` checks it."""

from __future__ import annotations

from systrace.telemetry import style
from systrace.telemetry.measures import FAILED, LONG_SILENCE_S, NAMESPACE, SILENCE

_TEXT = """\
AWSTemplateFormatVersion: "2010-09-09"
Description: Alarms for a job that runs under systrace run --job NAME --emf
Parameters:
  Job:
    Type: String
    Description: As in --job
  LogGroup:
    Type: String
    Description: The log group that gets the events of --emf
  Topic:
    Type: String
    Description: ARN of the SNS topic that is told
  Period:
    Type: Number
    Default: 86400
    Description: Seconds within which the job has to run once
Resources:
  # CloudWatch makes the metrics {failed} and {silence} of the events by itself. This filter counts what was lost on the path.
  LostConnections:
    Type: AWS::Logs::MetricFilter
    Properties:
      LogGroupName: !Ref LogGroup
      FilterPattern: !Sub '{{ $.Job = "${{Job}}" && ($.Cause = "idle-timeout" || $.Cause = "peer-vanished") }}'
      MetricTransformations:
        - MetricNamespace: {namespace}
          MetricName: LostConnections
          MetricValue: "1"
          Unit: Count
          Dimensions:
            - Key: Job
              Value: $.Job
  JobFailed:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmDescription: !Sub "${{Job}} failed; its events say why (Headline, Cause, Peer, Evidence)"
      Namespace: {namespace}
      MetricName: {failed}
      Dimensions:
        - Name: Job
          Value: !Ref Job
      Statistic: Maximum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 1
      ComparisonOperator: GreaterThanOrEqualToThreshold
      TreatMissingData: notBreaching
      AlarmActions: [!Ref Topic]
  JobDidNotRun:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmDescription: !Sub "${{Job}} did not run, or its events did not come"
      Namespace: {namespace}
      MetricName: {failed}
      Dimensions:
        - Name: Job
          Value: !Ref Job
      Statistic: SampleCount
      Period: !Ref Period
      EvaluationPeriods: 1
      Threshold: 1
      ComparisonOperator: LessThanThreshold
      TreatMissingData: breaching
      AlarmActions: [!Ref Topic]
  JobNearIdleLimit:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmDescription: !Sub "A connection of ${{Job}} was silent for long; NAT gateways forget it after 350 s: set keepalive"
      Namespace: {namespace}
      MetricName: {silence}
      Dimensions:
        - Name: Job
          Value: !Ref Job
      Statistic: Maximum
      Period: 60
      EvaluationPeriods: 1
      Threshold: {limit}
      ComparisonOperator: GreaterThanThreshold
      TreatMissingData: notBreaching
      AlarmActions: [!Ref Topic]
  ConnectionsLost:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmDescription: !Sub "The path lost a connection of ${{Job}} without a word"
      Namespace: {namespace}
      MetricName: LostConnections
      Dimensions:
        - Name: Job
          Value: !Ref Job
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 1
      ComparisonOperator: GreaterThanOrEqualToThreshold
      TreatMissingData: notBreaching
      AlarmActions: [!Ref Topic]
"""


@style("A CloudFormation template: metric filter and alarms for the events of --emf.")
def text() -> str:
    """A template."""
    return _TEXT.format(namespace=NAMESPACE, failed=FAILED.member, silence=SILENCE.member, limit=LONG_SILENCE_S)
