#!/usr/bin/env bash
# Deploys the service to ECS Fargate. ecs/deploy.ps1 does the same, step by step, in PowerShell.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

TEMPLATE=ecs/template.yaml

usage() {
    cat <<'END'
usage: ecs/deploy.sh [options]

Builds the image and deploys it with ecs/template.yaml into the AWS account of your credentials.
Running it again deploys what has changed since; what was given before and is not given now stays.

  --api-keys-secret-arn ARN  secret in Secrets Manager whose text is the active API keys, separated by commas;
                             without it, the first deployment makes one with a random key
  --stack NAME               name of the stack and of its repository (fraud-scoring-ecs)
  --region REGION            AWS region (that of the AWS CLI)
  --parameter NAME=VALUE     parameter of ecs/template.yaml; can be given more than once
  --registry HOST            push to this address in place of the repository's own, as through a proxy
  --dry-run                  print every command and run none
  --help                     print this
END
}

fail() {
    printf 'deploy.sh: %s\n' "$*" >&2
    exit 1
}

step() { printf '\n== %s\n' "$*"; }

# The answers of dry runs are told apart from the commands that they print by going to another channel.
exec 3>&1
show() {
    local word line=
    for word; do
        case $word in
        *\'*) line+=" \"$word\"" ;;
        *[!A-Za-z0-9_./:=@,-]*) line+=" '$word'" ;;
        *) line+=" $word" ;;
        esac
    done
    printf ' %s\n' "$line" >&3
}

# run COMMAND...: runs it; a dry run prints it instead.
run() {
    if [ "$dry_run" = true ]; then show "$@"; else "$@"; fi
}

# ask EXAMPLE COMMAND...: prints what the command prints; a dry run prints the command, and EXAMPLE as its answer.
ask() {
    local example=$1
    shift
    if [ "$dry_run" = false ]; then
        "$@"
    else
        show "$@"
        printf '%s\n' "$example"
    fi
}

output_of_stack() { # output_of_stack KEY EXAMPLE
    ask "$2" aws cloudformation describe-stacks --stack-name "$stack" \
        --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue" --output text
}

# --- Options

stack=fraud-scoring-ecs
region=
secret=
registry=
dry_run=false
has_load_balancer=true
parameters=()

while [ $# -gt 0 ]; do
    case $1 in
    --help | -h)
        usage
        exit 0
        ;;
    --dry-run)
        dry_run=true
        shift
        continue
        ;;
    --api-keys-secret-arn | --stack | --region | --parameter | --registry) ;;
    *) fail "unknown option $1: see ecs/deploy.sh --help" ;;
    esac
    { [ $# -ge 2 ] && [ -n "$2" ]; } || fail "$1 needs a value: see ecs/deploy.sh --help"
    case $1 in
    --api-keys-secret-arn) secret=$2 ;;
    --stack) stack=$2 ;;
    --region) region=$2 ;;
    --registry) registry=$2 ;;
    --parameter)
        [[ $2 =~ ^[A-Za-z0-9]+=[^,]*$ ]] || fail "--parameter takes NAME=VALUE without commas, not $2"
        [[ $2 != LoadBalancer=false ]] || has_load_balancer=false
        parameters+=("$2")
        ;;
    esac
    shift 2
done
region=${region:-${AWS_REGION:-${AWS_DEFAULT_REGION-}}}

[[ $stack =~ ^[a-z][a-z0-9-]{0,99}$ ]] || fail "--stack takes small letters, digits and hyphens, not $stack"
[[ $secret =~ ^$|^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+$ ]] ||
    fail "--api-keys-secret-arn takes the ARN of a secret, not $secret"
known=$(sed -n '/^Parameters:/,/^Conditions:/s/^  \([A-Za-z0-9]*\):$/\1/p' "$TEMPLATE" | paste -s -d ' ' -)
for parameter in ${parameters[@]+"${parameters[@]}"}; do
    name=${parameter%%=*}
    [[ " $known " == *" $name "* ]] || fail "--parameter $name is none of $TEMPLATE, which has $known"
    [[ ! $name =~ ^(ImageUri|ApiKeysSecretArn|CpuArchitecture)$ ]] || fail "--parameter $name is set by this script"
done

# --- Checks, before anything is made

step "Check"
if [ "$dry_run" = false ]; then
    for tool in aws docker; do
        command -v "$tool" >/dev/null || fail "there is no command $tool: install it first"
    done
    docker version >/dev/null 2>&1 || fail "docker does not answer: start it first"
    region=${region:-$(aws configure get region || true)}
    [ -n "$region" ] || fail "no AWS region is set: give --region"
fi
# The pager of the AWS CLI would wait for somebody to read; attestations would make another image of each build.
export AWS_REGION=${region:-REGION} AWS_DEFAULT_REGION=${region:-REGION} AWS_PAGER='' BUILDX_NO_DEFAULT_ATTESTATIONS=1
[ "$dry_run" = false ] ||
    show export "AWS_REGION=$AWS_REGION" "AWS_DEFAULT_REGION=$AWS_REGION" AWS_PAGER= BUILDX_NO_DEFAULT_ATTESTATIONS=1

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
account=$(ask ACCOUNT aws sts get-caller-identity --query Account --output text 2>"$errors") ||
    fail "AWS takes no credentials from here ($(tail -n 1 "$errors")): sign in first"
if [ -n "$secret" ]; then
    # In full: the ARN may have been given without its last part.
    secret=$(ask "$secret" aws secretsmanager describe-secret --secret-id "$secret" --query ARN --output text \
        2>"$errors") || fail "the secret cannot be found ($(tail -n 1 "$errors"))"
    parameters+=("ApiKeysSecretArn=$secret")
fi
if ! status=$(ask NONE aws cloudformation describe-stacks --stack-name "$stack" \
    --query "Stacks[0].StackStatus" --output text 2>"$errors"); then
    grep -q "does not exist" "$errors" || fail "the stack cannot be looked up ($(tail -n 1 "$errors"))"
    status=NONE
fi
case $status in
NONE | CREATE_COMPLETE | UPDATE_COMPLETE | UPDATE_ROLLBACK_COMPLETE | IMPORT_COMPLETE | IMPORT_ROLLBACK_COMPLETE) ;;
CREATE_FAILED | ROLLBACK_* | REVIEW_IN_PROGRESS | DELETE_FAILED)
    fail "the stack $stack was never made ($status): aws cloudformation delete-stack --stack-name $stack clears it"
    ;;
*) fail "the stack $stack is $status: try again when that is over" ;;
esac
[ "$dry_run" = true ] || printf '  account %s, region %s, stack %s: %s\n' "$account" "$region" "$stack" "$status"

# --- Steps

step "Create the repository, and all else but the service"
if [ "$status" = NONE ]; then
    first=()
    for parameter in ${parameters[@]+"${parameters[@]}"}; do
        first+=("ParameterKey=${parameter%%=*},ParameterValue=${parameter#*=}")
    done
    stack_id=$(ask STACK_ID aws cloudformation create-stack --stack-name "$stack" --template-body "file://$TEMPLATE" \
        --capabilities CAPABILITY_IAM --on-failure DELETE ${first[@]+--parameters "${first[@]}"} \
        --query StackId --output text) || fail "the stack was not created"
    run aws cloudformation wait stack-create-complete --stack-name "$stack" ||
        fail "the stack was not created: aws cloudformation describe-stack-events --stack-name $stack_id says why"
else
    printf '  they exist\n'
fi
repository=$(output_of_stack Repository "ACCOUNT.dkr.ecr.$AWS_REGION.amazonaws.com/$stack")

step "Build the image"
run docker build --file ecs/Dockerfile --tag "$stack" .
image_id=$(ask sha256:IMAGE_ID docker image inspect --format '{{.Id}}' "$stack")
architecture=$(ask amd64 docker image inspect --format '{{.Architecture}}' "$stack")
case $architecture in
amd64) cpu=X86_64 ;;
arm64) cpu=ARM64 ;;
*) fail "Fargate runs images for amd64 and arm64, not for $architecture" ;;
esac
# A tag is never moved: it is that of the content.
tag=${image_id#sha256:}
tag=${tag:0:16}

step "Log in to the registry"
registry=${registry:-${repository%%/*}}
password=$(ask PASSWORD aws ecr get-login-password)
login=(docker login --username AWS --password-stdin "$registry")
if [ "$dry_run" = true ]; then show "${login[@]}"; else printf '%s' "$password" | "${login[@]}"; fi

step "Push the image"
digest_of_tag() { # digest_of_tag EXAMPLE
    ask "$1" aws ecr describe-images --repository-name "$stack" --image-ids "imageTag=$tag" \
        --query "imageDetails[0].imageDigest" --output text
}
digest=$(digest_of_tag "" 2>/dev/null) || digest=
if [ -z "$digest" ]; then
    run docker tag "$stack" "$registry/$stack:$tag"
    run docker push "$registry/$stack:$tag"
    digest=$(digest_of_tag sha256:DIGEST)
else
    printf '  %s is there\n' "$tag"
fi

step "Deploy the stack"
run aws cloudformation deploy --stack-name "$stack" --template-file "$TEMPLATE" --capabilities CAPABILITY_IAM \
    --no-fail-on-empty-changeset --parameter-overrides "ImageUri=$repository@$digest" "CpuArchitecture=$cpu" \
    ${parameters[@]+"${parameters[@]}"} ||
    fail "the stack was not updated: aws cloudformation describe-stack-events --stack-name $stack says why"

step "Wait until the service is stable"
cluster=$(output_of_stack Cluster CLUSTER)
service=$(output_of_stack Service SERVICE)
run aws ecs wait services-stable --cluster "$cluster" --services "$service" ||
    fail "the service is not stable: aws ecs describe-services --cluster $cluster --services $service says why"

step "Find the URL and the API keys"
if [ "$has_load_balancer" = true ]; then url_example=https://HOST; else url_example=; fi
url=$(output_of_stack Url "$url_example")
if [ -z "$url" ] || [ "$url" = None ]; then
    task=$(ask TASK aws ecs list-tasks --cluster "$cluster" --service-name "$service" \
        --query "taskArns[0]" --output text)
    interface=$(ask INTERFACE aws ecs describe-tasks --cluster "$cluster" --tasks "$task" \
        --query "tasks[0].attachments[0].details[?name=='networkInterfaceId'].value" --output text)
    address=$(ask ADDRESS aws ec2 describe-network-interfaces --network-interface-ids "$interface" \
        --query "NetworkInterfaces[0].Association.PublicIp" --output text)
    url=http://$address:8000
fi

secret=$(output_of_stack ApiKeysSecret "${secret:-SECRET}")

if [ "$dry_run" = true ]; then state="would be up"; else state="is up"; fi
cat <<END

The service $state: $url

  curl -sS $url/health/ready

  API_KEY=\$(aws secretsmanager get-secret-value --region $AWS_REGION --secret-id $secret --query SecretString --output text | cut -d, -f1)
  curl -sS $url/predict -H "x-api-key: \$API_KEY" -H 'content-type: application/json' --data-binary @events/predict_fraud.json
END
case $url in
http:*) printf '\nThere is no certificate: API keys travel in the clear. Give --parameter CertificateArn=ARN.\n' ;;
esac
