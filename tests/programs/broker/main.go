// A broker that speaks Kafka's protocol, of franz-go's tests, for ours: TLS, SCRAM and four
// partitions of each topic, all in memory. `make collector` builds it.
//
//	broker PORT CERTIFICATE KEY PASSWORD
package main

import (
	"crypto/tls"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/twmb/franz-go/pkg/kfake"
)

const partitions = 4

func main() {
	port, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair(os.Args[2], os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.Ports(port),
		kfake.SeedTopics(partitions, "otlp_metrics", "otlp_logs"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}}),
		kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-512", "otelcol", os.Args[4]),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	fmt.Println("ready")
	select {}
}
