#Requires -Version 5.1
<#
.SYNOPSIS
Deploys the service to ECS Fargate. ecs/deploy.sh does the same, step by step, in bash.

.DESCRIPTION
Builds the image and deploys it with ecs/template.yaml into the AWS account of your credentials.
Running it again deploys what has changed since; what was given before and is not given now stays.

.EXAMPLE
ecs/deploy.ps1 -Parameter AlarmEmail=team@example.com, MinTasks=3
#>
[CmdletBinding(PositionalBinding = $false)]
param(
    # Secret in Secrets Manager whose text is the active API keys, separated by commas.
    [string] $ApiKeysSecretArn = '',
    # Name of the stack and of its repository.
    [string] $Stack = 'fraud-scoring-ecs',
    # AWS region; that of the AWS CLI unless given.
    [string] $Region = '',
    # Parameters of ecs/template.yaml, as NAME=VALUE.
    [string[]] $Parameter = @(),
    # Push to this address in place of the repository's own, as through a proxy.
    [string] $Registry = '',
    # Print every command and run none.
    [switch] $DryRun,
    # Print how this is called.
    [switch] $Help
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
Set-Location (Split-Path -Parent $PSScriptRoot)

$Template = 'ecs/template.yaml'
$Reason = ''

$Usage = @'
usage: ecs/deploy.ps1 [options]

Builds the image and deploys it with ecs/template.yaml into the AWS account of your credentials.
Running it again deploys what has changed since; what was given before and is not given now stays.

  -ApiKeysSecretArn ARN      secret in Secrets Manager whose text is the active API keys, separated by commas;
                             without it, the first deployment makes one with a random key
  -Stack NAME                name of the stack and of its repository (fraud-scoring-ecs)
  -Region REGION             AWS region (that of the AWS CLI)
  -Parameter NAME=VALUE,...  parameters of ecs/template.yaml
  -Registry HOST             push to this address in place of the repository's own, as through a proxy
  -DryRun                    print every command and run none
  -Help                      print this
'@

function Stop-Deployment([string] $Reason) {
    [Console]::Error.WriteLine("deploy.ps1: $Reason")
    exit 1
}

function Write-Step([string] $Title) { Write-Host "`n== $Title" }

function Show-Command([string[]] $Words) {
    $quoted = foreach ($word in $Words) {
        if ($word -match "'") { "`"$word`"" }
        elseif ($word -eq '' -or $word -match '[^A-Za-z0-9_./:=@,-]') { "'$word'" }
        else { $word }
    }
    Write-Host "  $($quoted -join ' ')"
}

# Runs a command and leaves its exit code in $LASTEXITCODE; a dry run prints it instead.
function Invoke-Native([string[]] $Words) {
    if ($DryRun) {
        Show-Command $Words
        $global:LASTEXITCODE = 0
        return
    }
    $rest = @($Words | Select-Object -Skip 1)
    & $Words[0] @rest | Out-Host
}

# Returns what a command prints, or $null when it fails, and then its last words are in $script:Reason;
# a dry run prints the command, and returns the example.
function Get-Answer([string] $Example, [string[]] $Words) {
    if ($DryRun) {
        Show-Command $Words
        return $Example
    }
    # Windows PowerShell would take what a command writes to its error channel for an error of ours.
    $ErrorActionPreference = 'Continue'
    $rest = @($Words | Select-Object -Skip 1)
    $all = & $Words[0] @rest 2>&1
    $code = $LASTEXITCODE
    $said = @($all | Where-Object { $_ -isnot [System.Management.Automation.ErrorRecord] })
    $script:Reason = "$($all | Where-Object { "$_".Trim() } | Select-Object -Last 1)".Trim()
    if ($code -ne 0) { return $null }
    return ($said -join "`n").Trim()
}

function Get-StackOutput([string] $Key, [string] $Example) {
    $answer = Get-Answer $Example @('aws', 'cloudformation', 'describe-stacks', '--stack-name', $Stack,
        '--query', "Stacks[0].Outputs[?OutputKey=='$Key'].OutputValue", '--output', 'text')
    if ($null -eq $answer) { Stop-Deployment "the stack $Stack cannot be looked up ($script:Reason)" }
    return $answer
}

# --- Options

if ($Help) {
    Write-Host $Usage
    exit 0
}
$HasLoadBalancer = $Parameter -notcontains 'LoadBalancer=false'
if (-not $Region) { $Region = "$env:AWS_REGION" }
if (-not $Region) { $Region = "$env:AWS_DEFAULT_REGION" }

if ($Stack -cnotmatch '^[a-z][a-z0-9-]{0,99}$') {
    Stop-Deployment "-Stack takes small letters, digits and hyphens, not $Stack"
}
if ($ApiKeysSecretArn -cnotmatch '^$|^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+$') {
    Stop-Deployment "-ApiKeysSecretArn takes the ARN of a secret, not $ApiKeysSecretArn"
}
$section = [regex]::Match([IO.File]::ReadAllText("$PWD/$Template"), '(?ms)^Parameters:\r?$(.*?)^Conditions:').Value
$known = @([regex]::Matches($section, '(?m)^  ([A-Za-z0-9]+):\r?$') | ForEach-Object { $_.Groups[1].Value })
foreach ($pair in $Parameter) {
    if ($pair -cnotmatch '^[A-Za-z0-9]+=[^,]*$') {
        Stop-Deployment "-Parameter takes NAME=VALUE without commas, not $pair"
    }
    $name = $pair.Split('=')[0]
    if ($known -cnotcontains $name) { Stop-Deployment "-Parameter $name is none of $Template, which has $known" }
    if ('ImageUri', 'ApiKeysSecretArn', 'CpuArchitecture' -ccontains $name) {
        Stop-Deployment "-Parameter $name is set by this script"
    }
}

# --- Checks, before anything is made

Write-Step 'Check'
if (-not $DryRun) {
    foreach ($tool in 'aws', 'docker') {
        if (-not (Get-Command $tool -ErrorAction SilentlyContinue)) {
            Stop-Deployment "there is no command ${tool}: install it first"
        }
    }
    if ($null -eq (Get-Answer '' @('docker', 'version'))) { Stop-Deployment 'docker does not answer: start it first' }
    if (-not $Region) { $Region = "$(Get-Answer '' @('aws', 'configure', 'get', 'region'))" }
    if (-not $Region) { Stop-Deployment 'no AWS region is set: give -Region' }
}
# The pager of the AWS CLI would wait for somebody to read; attestations would make another image of each build.
if (-not $Region) { $Region = 'REGION' }
$env:AWS_REGION = $Region
$env:AWS_DEFAULT_REGION = $Region
$env:AWS_PAGER = ''
$env:BUILDX_NO_DEFAULT_ATTESTATIONS = '1'
if ($DryRun) {
    foreach ($name in 'AWS_REGION', 'AWS_DEFAULT_REGION') { Write-Host "  `$env:$name = '$Region'" }
    Write-Host "  `$env:AWS_PAGER = ''"
    Write-Host "  `$env:BUILDX_NO_DEFAULT_ATTESTATIONS = '1'"
}

$account = Get-Answer 'ACCOUNT' @('aws', 'sts', 'get-caller-identity', '--query', 'Account', '--output', 'text')
if ($null -eq $account) { Stop-Deployment "AWS takes no credentials from here ($script:Reason): sign in first" }
if ($ApiKeysSecretArn) {
    # In full: the ARN may have been given without its last part.
    $secret = Get-Answer $ApiKeysSecretArn @('aws', 'secretsmanager', 'describe-secret',
        '--secret-id', $ApiKeysSecretArn, '--query', 'ARN', '--output', 'text')
    if ($null -eq $secret) { Stop-Deployment "the secret cannot be found ($script:Reason)" }
    $Parameter += "ApiKeysSecretArn=$secret"
}
$status = Get-Answer 'NONE' @('aws', 'cloudformation', 'describe-stacks', '--stack-name', $Stack,
    '--query', 'Stacks[0].StackStatus', '--output', 'text')
if ($null -eq $status) {
    if ($script:Reason -notmatch 'does not exist') {
        Stop-Deployment "the stack cannot be looked up ($script:Reason)"
    }
    $status = 'NONE'
}
if ($status -cmatch '^(CREATE_FAILED|ROLLBACK_.*|REVIEW_IN_PROGRESS|DELETE_FAILED)$') {
    Stop-Deployment "the stack $Stack was never made ($status): aws cloudformation delete-stack --stack-name $Stack clears it"
}
if ($status -cnotmatch '^(NONE|CREATE_COMPLETE|UPDATE_COMPLETE|UPDATE_ROLLBACK_COMPLETE|IMPORT_(ROLLBACK_)?COMPLETE)$') {
    Stop-Deployment "the stack $Stack is ${status}: try again when that is over"
}
if (-not $DryRun) { Write-Host "  account $account, region $Region, stack ${Stack}: $status" }

# --- Steps

Write-Step 'Create the repository, and all else but the service'
if ($status -eq 'NONE') {
    $first = @()
    foreach ($pair in $Parameter) {
        $name, $value = $pair -split '=', 2
        $first += "ParameterKey=$name,ParameterValue=$value"
    }
    if ($first) { $first = @('--parameters') + $first }
    $stackId = Get-Answer 'STACK_ID' (@('aws', 'cloudformation', 'create-stack', '--stack-name', $Stack,
            '--template-body', "file://$Template", '--capabilities', 'CAPABILITY_IAM', '--on-failure', 'DELETE'
        ) + $first + @('--query', 'StackId', '--output', 'text'))
    if ($null -eq $stackId) { Stop-Deployment "the stack was not created ($script:Reason)" }
    Invoke-Native @('aws', 'cloudformation', 'wait', 'stack-create-complete', '--stack-name', $Stack)
    if ($LASTEXITCODE -ne 0) {
        Stop-Deployment "the stack was not created: aws cloudformation describe-stack-events --stack-name $stackId says why"
    }
}
else {
    Write-Host '  they exist'
}
$repository = Get-StackOutput 'Repository' "ACCOUNT.dkr.ecr.$Region.amazonaws.com/$Stack"

Write-Step 'Build the image'
Invoke-Native @('docker', 'build', '--file', 'ecs/Dockerfile', '--tag', $Stack, '.')
if ($LASTEXITCODE -ne 0) { Stop-Deployment 'the image was not built' }
$imageId = Get-Answer 'sha256:IMAGE_ID' @('docker', 'image', 'inspect', '--format', '{{.Id}}', $Stack)
$architecture = Get-Answer 'amd64' @('docker', 'image', 'inspect', '--format', '{{.Architecture}}', $Stack)
if ($architecture -eq 'amd64') { $cpu = 'X86_64' }
elseif ($architecture -eq 'arm64') { $cpu = 'ARM64' }
else { Stop-Deployment "Fargate runs images for amd64 and arm64, not for $architecture" }
# A tag is never moved: it is that of the content.
$tag = $imageId -replace '^sha256:', ''
if ($tag.Length -gt 16) { $tag = $tag.Substring(0, 16) }

Write-Step 'Log in to the registry'
if (-not $Registry) { $Registry = $repository.Split('/')[0] }
$password = Get-Answer 'PASSWORD' @('aws', 'ecr', 'get-login-password')
if ($null -eq $password) { Stop-Deployment "ECR gives no password ($script:Reason)" }
$login = @('docker', 'login', '--username', 'AWS', '--password-stdin', $Registry)
if ($DryRun) {
    Show-Command $login
}
else {
    $rest = @($login | Select-Object -Skip 1)
    $password | & docker @rest | Out-Host
    if ($LASTEXITCODE -ne 0) { Stop-Deployment "$Registry does not let us in" }
}

Write-Step 'Push the image'
$find = @('aws', 'ecr', 'describe-images', '--repository-name', $Stack, '--image-ids', "imageTag=$tag",
    '--query', 'imageDetails[0].imageDigest', '--output', 'text')
$digest = Get-Answer '' $find
if (-not $digest) {
    Invoke-Native @('docker', 'tag', $Stack, "$Registry/${Stack}:$tag")
    Invoke-Native @('docker', 'push', "$Registry/${Stack}:$tag")
    if ($LASTEXITCODE -ne 0) { Stop-Deployment 'the image was not pushed' }
    $digest = Get-Answer 'sha256:DIGEST' $find
    if (-not $digest) { Stop-Deployment "the pushed image cannot be found ($script:Reason)" }
}
else {
    Write-Host "  $tag is there"
}

Write-Step 'Deploy the stack'
Invoke-Native (@('aws', 'cloudformation', 'deploy', '--stack-name', $Stack, '--template-file', $Template,
        '--capabilities', 'CAPABILITY_IAM', '--no-fail-on-empty-changeset', '--parameter-overrides',
        "ImageUri=$repository@$digest", "CpuArchitecture=$cpu") + $Parameter)
if ($LASTEXITCODE -ne 0) {
    Stop-Deployment "the stack was not updated: aws cloudformation describe-stack-events --stack-name $Stack says why"
}

Write-Step 'Wait until the service is stable'
$cluster = Get-StackOutput 'Cluster' 'CLUSTER'
$service = Get-StackOutput 'Service' 'SERVICE'
Invoke-Native @('aws', 'ecs', 'wait', 'services-stable', '--cluster', $cluster, '--services', $service)
if ($LASTEXITCODE -ne 0) {
    Stop-Deployment "the service is not stable: aws ecs describe-services --cluster $cluster --services $service says why"
}

Write-Step 'Find the URL and the API keys'
$urlExample = if ($HasLoadBalancer) { 'https://HOST' } else { '' }
$url = Get-StackOutput 'Url' $urlExample
if (-not $url -or $url -eq 'None') {
    $task = Get-Answer 'TASK' @('aws', 'ecs', 'list-tasks', '--cluster', $cluster, '--service-name', $service,
        '--query', 'taskArns[0]', '--output', 'text')
    $interface = Get-Answer 'INTERFACE' @('aws', 'ecs', 'describe-tasks', '--cluster', $cluster, '--tasks', $task,
        '--query', "tasks[0].attachments[0].details[?name=='networkInterfaceId'].value", '--output', 'text')
    $address = Get-Answer 'ADDRESS' @('aws', 'ec2', 'describe-network-interfaces',
        '--network-interface-ids', $interface,
        '--query', 'NetworkInterfaces[0].Association.PublicIp', '--output', 'text')
    $url = "http://${address}:8000"
}

$secretExample = if ($ApiKeysSecretArn) { $ApiKeysSecretArn } else { 'SECRET' }
$secret = Get-StackOutput 'ApiKeysSecret' $secretExample

$state = if ($DryRun) { 'would be up' } else { 'is up' }
Write-Host @"

The service ${state}: $url

  curl.exe -sS $url/health/ready

  `$key = (aws secretsmanager get-secret-value --region $Region --secret-id $secret --query SecretString --output text).Split(',')[0]
  curl.exe -sS $url/predict -H "x-api-key: `$key" -H 'content-type: application/json' --data-binary '@events/predict_fraud.json'
"@
if ($url -like 'http:*') {
    Write-Host "`nThere is no certificate: API keys travel in the clear. Give -Parameter CertificateArn=ARN."
}
