// fetch ADDRESS TIMES: print how long each answer is.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	client := http.Client{Timeout: time.Second}
	times, _ := strconv.Atoi(os.Args[2])
	for n := 0; n < times; n++ {
		answer, err := client.Get(os.Args[1])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		fmt.Println(len(body))
	}
}
