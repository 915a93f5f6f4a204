#!/bin/sh
# Makes what the containers of docker-compose.yml share and nobody may commit: the agents' token, the
# certificate of the gateway with the authority that signed it, and Grafana's password. Each reader
# has a folder of its own, which no other user can open.
#
#   secrets.sh FOLDER
#
# What is there stays: to renew it (the certificate is good for a year), empty the folder.
set -eu
cd "$1"
[ ! -e made ] || exit 0
umask 077
rm -rf agent gateway grafana
mkdir agent gateway grafana

openssl rand -hex 32 >agent/token
cp agent/token gateway/token
openssl rand -hex 16 >grafana/password

new_key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc"
# shellcheck disable=SC2086 # several words
openssl req -x509 $new_key -days 3650 -subj "/CN=otel-metrics" -keyout ca.key -out agent/ca.crt \
  -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
# shellcheck disable=SC2086
openssl req $new_key -subj "/CN=gateway" -keyout gateway/gateway.key -out gateway.csr 2>/dev/null
printf 'subjectAltName=DNS:gateway,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >gateway.ext
openssl x509 -req -in gateway.csr -CA agent/ca.crt -CAkey ca.key -CAcreateserial -days 365 \
  -extfile gateway.ext -out gateway/gateway.crt 2>/dev/null
rm -f ca.key gateway.csr gateway.ext agent/ca.srl

# The users of the images: 10001 is that of the collectors, 472 Grafana's. Outside a container all
# are read by who made them.
if [ "$(id -u)" -eq 0 ]; then
  chown -R 10001 agent gateway
  chown -R 472 grafana
fi
chmod 0711 .
touch made
