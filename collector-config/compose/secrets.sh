#!/bin/sh
# Makes what the containers of docker-compose.yml share and nobody may commit: the agents' token, the
# certificate of the gateway with the authority that signed it, and Grafana's password. Each reader
# has a folder of its own, which no other user can open.
#
#   secrets.sh FOLDER [renew]
#
# What is there stays, unless it is to be renewed: then token and certificate are made anew. The
# password stays, as Grafana keeps what it was started with first.
set -eu
cd "$1"
umask 077
if [ ! -e made ]; then
  rm -rf grafana
  mkdir grafana
  openssl rand -hex 16 >grafana/password
elif [ "${2:-}" != renew ]; then
  exit 0
fi
rm -rf new
mkdir -p new/agent new/gateway
openssl rand -hex 32 >new/agent/token
cp new/agent/token new/gateway/token

new_key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc"
# shellcheck disable=SC2086 # several words
openssl req -x509 $new_key -days 3650 -subj "/CN=otel-metrics" -keyout new/ca.key \
  -out new/agent/ca.crt -addext "keyUsage=critical,keyCertSign,cRLSign"
# shellcheck disable=SC2086
openssl req $new_key -subj "/CN=gateway" -keyout new/gateway/gateway.key -out new/gateway.csr
printf 'subjectAltName=DNS:gateway,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >new/gateway.ext
openssl x509 -req -in new/gateway.csr -CA new/agent/ca.crt -CAkey new/ca.key -CAserial new/serial \
  -CAcreateserial -days 365 -extfile new/gateway.ext -out new/gateway/gateway.crt

# The users of the images: 10001 is that of the collectors, 472 Grafana's. Outside a container all
# are read by who made them. Owners come last and are taken back first: with CAP_CHOWN alone, root
# may not look into a folder of another user.
for reader in agent gateway; do
  if [ -e $reader ]; then
    [ "$(id -u)" -ne 0 ] || chown 0 $reader
    rm -rf $reader
  fi
  mv new/$reader .
done
rm -rf new
if [ "$(id -u)" -eq 0 ]; then
  chown -R 10001 agent gateway
  [ -e made ] || chown -R 472 grafana
fi
chmod 0711 .
touch made
