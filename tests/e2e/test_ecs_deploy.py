"""ecs/deploy.sh and ecs/template.yaml on a simulated AWS account: real Docker, real AWS CLI, real push."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.aws import REGION, Aws, simulated_aws
from tests.e2e.containers import BUILD_S, docker
from tests.e2e.registry import Registry, TagTakenError, registry
from tests.repository import ROOT

pytestmark = pytest.mark.e2e

STACK = "fraud-scoring-e2e"
TEMPLATE = ROOT / "ecs" / "template.yaml"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with simulated_aws(tmp_path_factory.mktemp("aws")) as account:
        yield account


@pytest.fixture(scope="module")
def secret(aws: Aws) -> str:
    made = aws.client("secretsmanager").create_secret(Name="api-keys", SecretString="alpha,beta")
    return str(made["ARN"])


@pytest.fixture(scope="module")
def ecr(aws: Aws) -> Iterator[Registry]:
    client = aws.client("ecr")

    def put_image(repository: str, tag: str, digest: str, manifest: str) -> None:
        try:
            client.put_image(repositoryName=repository, imageTag=tag, imageDigest=digest, imageManifest=manifest)
        except (
            client.exceptions.ImageTagAlreadyExistsException,
            client.exceptions.ImageAlreadyExistsException,
        ) as error:
            raise TagTakenError from error

    with registry(put_image) as server:
        yield server


@dataclass(frozen=True)
class Deployer:
    """Runs ecs/deploy.sh on the simulated account."""

    aws: Aws
    registry: str
    folder: Path

    def run(self, *options: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own script
            [
                str(ROOT / "ecs" / "deploy.sh"),
                "--stack",
                STACK,
                "--region",
                REGION,
                "--registry",
                self.registry,
                *options,
            ],
            env={**self.aws.environment(), "DOCKER_CONFIG": str(self.folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def deploy(engine: None, aws: Aws, ecr: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployer]:
    yield Deployer(aws, ecr.address, tmp_path_factory.mktemp("docker"))
    for reference in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split():
        if reference.startswith((STACK, f"{ecr.address}/")):
            docker("image", "rm", reference)


def outputs(aws: Aws, stack: str = STACK) -> dict[str, str]:
    [described] = aws.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}


def running_container(aws: Aws, stack: str = STACK) -> dict[str, Any]:
    """Return the container definition of the stack's service, which must be steady."""
    ecs, found = aws.client("ecs"), outputs(aws, stack)
    [service] = ecs.describe_services(cluster=found["Cluster"], services=[found["Service"]])["services"]
    assert service["status"] == "ACTIVE"
    assert service["runningCount"] == service["desiredCount"] == 1
    # The newest, which moto does not always hand on to the service.
    task = ecs.describe_task_definition(taskDefinition=stack)["taskDefinition"]
    [container] = task["containerDefinitions"]
    return dict(container)


def test_deploys_then_changes_nothing_then_only_what_has_changed(
    deploy: Deployer, aws: Aws, ecr: Registry, secret: str
) -> None:
    said = deploy.run("--api-keys-secret-arn", secret)

    [pushed] = ecr.manifests
    [stored] = aws.client("ecr").describe_images(repositoryName=STACK)["imageDetails"]
    assert stored["imageTags"] == [pushed]
    assert ecr.users == {"AWS"}
    first, found = running_container(aws), outputs(aws)
    assert first["image"] == f"{found['Repository']}@{stored['imageDigest']}"
    assert first["secrets"] == [{"name": "API_KEY", "valueFrom": secret}]
    assert f"The service is up: {found['Url']}\n" in said
    assert f"  curl -sS {found['Url']}/health/ready\n" in said
    assert f"--secret-id {secret} " in said

    said = deploy.run("--api-keys-secret-arn", secret)

    assert f"  {pushed} is there\n" in said
    assert ecr.manifests == [pushed]
    assert running_container(aws) == first

    said = deploy.run("--parameter", "LogLevel=DEBUG")

    assert ecr.manifests == [pushed]
    level = {"name": "LOG_LEVEL", "value": "DEBUG"}
    changed = running_container(aws)
    assert level in changed["environment"]
    assert changed["secrets"] == first["secrets"]


def test_registry_refuses_to_move_a_tag(deploy: Deployer, ecr: Registry) -> None:
    """Or the test above would not show that the tag is never pushed again."""
    [pushed] = ecr.manifests
    with pytest.raises(TagTakenError):
        ecr.put_image(
            STACK, pushed, "sha256:" + "0" * 64, '{"mediaType": "application/vnd.oci.image.manifest.v1+json"}'
        )


def test_task_definition_can_be_registered_by_hand(aws: Aws, secret: str, tmp_path: Path) -> None:
    """By the commands of the README."""
    filled = (ROOT / "ecs" / "task-def.json").read_text()
    for placeholder, value in {
        "EXECUTION_ROLE_ARN": "arn:aws:iam::123456789012:role/execution",
        "TASK_ROLE_ARN": "arn:aws:iam::123456789012:role/task",
        "IMAGE_BY_DIGEST": image_of("by-hand"),
        "API_KEYS_SECRET_ARN": secret,
        "LOG_GROUP": "/fraud-scoring/api",
        "REGION": REGION,
        "VPC_CIDR": "10.0.0.0/16",
    }.items():
        filled = filled.replace(f"<{placeholder}>", value)
    path = tmp_path / "task-def.json"
    path.write_text(filled)
    aws.run("ecs", "register-task-definition", "--cli-input-json", f"file://{path}")

    task = aws.client("ecs").describe_task_definition(taskDefinition="fraud-scoring")["taskDefinition"]
    [container] = task["containerDefinitions"]
    assert "<" not in filled
    assert container["secrets"] == [{"name": "API_KEY", "valueFrom": secret}]


CREATED = {
    "AWS::EC2::InternetGateway": 1,
    "AWS::EC2::SecurityGroup": 2,
    "AWS::EC2::Subnet": 2,
    "AWS::EC2::VPC": 1,
    "AWS::ECR::Repository": 1,
    "AWS::ECS::Cluster": 1,
    "AWS::ECS::Service": 1,
    "AWS::ECS::TaskDefinition": 1,
    "AWS::ElasticLoadBalancingV2::Listener": 1,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": 1,
    "AWS::ElasticLoadBalancingV2::TargetGroup": 1,
    "AWS::IAM::Role": 2,
    "AWS::KMS::Key": 1,
    "AWS::Logs::LogGroup": 1,
    "AWS::SNS::Topic": 1,
}
ALWAYS = {"Repository", "Cluster", "Service", "ApiKeysSecret", "LogGroup", "Topic"}
WITH_LOAD_BALANCER = ALWAYS | {"Url", "Curl", "LoadBalancerDnsName"}


def create_stack(aws: Aws, name: str, **parameters: str) -> dict[str, int]:
    """Create a stack from the template; return how many resources of each type it has."""
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=TEMPLATE.read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name)
    resources = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    # What moto cannot make, or what has a false condition, has no type.
    return dict(Counter(resource["ResourceType"] for resource in resources if "ResourceType" in resource))


def image_of(name: str) -> str:
    return f"registry.example.com/{name}@sha256:{'0' * 64}"


def test_stack_creates_a_steady_service_behind_a_load_balancer(aws: Aws, secret: str) -> None:
    created = create_stack(aws, "balanced", ApiKeysSecretArn=secret, ImageUri=image_of("balanced"))

    found = outputs(aws, "balanced")
    assert {kind: created.get(kind) for kind in CREATED} == CREATED
    assert found.keys() == WITH_LOAD_BALANCER
    assert found["Url"] == f"http://{found['LoadBalancerDnsName']}"
    assert found["Curl"] == f"curl -sS {found['Url']}/health/ready"
    running_container(aws, "balanced")


def test_stack_with_a_certificate_redirects_to_https(aws: Aws, secret: str) -> None:
    domain = "fraud.example.com"
    certificate = aws.client("acm").request_certificate(DomainName=domain)["CertificateArn"]
    image = image_of("secure")
    create_stack(aws, "secure", ApiKeysSecretArn=secret, ImageUri=image, CertificateArn=certificate, DomainName=domain)

    found = outputs(aws, "secure")
    balancing = aws.client("elbv2")
    balancers = balancing.describe_load_balancers()["LoadBalancers"]
    [balancer] = [each for each in balancers if each["DNSName"] == found["LoadBalancerDnsName"]]
    listeners = balancing.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    assert found["Url"] == f"https://{domain}"
    assert {each["Protocol"]: each["DefaultActions"][0]["Type"] for each in listeners} == {
        "HTTP": "redirect",
        "HTTPS": "forward",
    }


def test_stack_without_a_load_balancer_opens_the_task(aws: Aws, secret: str) -> None:
    created = create_stack(
        aws,
        "direct",
        ApiKeysSecretArn=secret,
        ImageUri=image_of("direct"),
        LoadBalancer="false",
        AllowedCidr="192.0.2.0/24",
    )

    assert not [kind for kind in created if "LoadBalancing" in kind]
    assert outputs(aws, "direct").keys() == ALWAYS
    groups = aws.client("ec2").describe_security_groups()["SecurityGroups"]
    [group] = [each for each in groups if each["GroupName"].startswith("direct-")]
    [rule] = group["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"]) == (8000, 8000)
    assert [each["CidrIp"] for each in rule["IpRanges"]] == ["192.0.2.0/24"]


def test_stack_without_an_image_has_the_repository_and_no_service(aws: Aws, secret: str) -> None:
    created = create_stack(aws, "empty", ApiKeysSecretArn=secret)

    assert created["AWS::ECR::Repository"] == 1
    assert not {"AWS::ECS::Service", "AWS::ECS::TaskDefinition"} & created.keys()
    assert outputs(aws, "empty").keys() == WITH_LOAD_BALANCER - {"Service"}
    [repository] = aws.client("ecr").describe_repositories(repositoryNames=["empty"])["repositories"]
    assert repository["imageTagMutability"] == "IMMUTABLE"
