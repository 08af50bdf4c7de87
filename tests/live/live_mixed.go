// The same as live_mixed.py with Go's net/http: URL GOROUTINES EACH h1|h2.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

func main() {
	url, form := os.Args[1], os.Args[4]
	var workers, each int
	fmt.Sscan(os.Args[2], &workers)
	fmt.Sscan(os.Args[3], &each)
	texts := map[string]string{
		"plain":  "The quick brown fox jumps over the lazy dog.",
		"card":   "Charge it to my card 4111 1111 1111 1111 please.",
		"iban": "Pay it to the IBAN DE89 3704 0044 0532 0130 00 today.",
	}
	kinds := []string{"plain", "card", "iban"}
	t := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: form == "h2", MaxIdleConnsPerHost: workers}
	c := &http.Client{Transport: t, Timeout: 10 * time.Second}
	done := map[string][]any{}
	var lock sync.Mutex
	bufio.NewReader(os.Stdin).ReadString('\n')
	var group sync.WaitGroup
	for w := 0; w < workers; w++ {
		group.Add(1)
		go func(w int) {
			defer group.Done()
			for n := w; n < workers*each; n += workers {
				kind := kinds[(n*7+(n>>2))%3]
				content := strings.Repeat("Please read this and answer. ", 60) + texts[kind]
				b, _ := json.Marshal(map[string]any{"model": "gpt-4o", "messages": []any{map[string]string{"role": "user", "content": content}}})
				r, _ := http.NewRequest("POST", url+"/v1/chat/completions", bytes.NewReader(b))
				r.Header.Set("content-type", "application/json")
				r.Header.Set("authorization", "Bearer sk-test")
				r.Header.Set("x-number", fmt.Sprint(n))
				began := time.Now()
				answer, err := c.Do(r)
				var result any
				if err != nil {
					parts := strings.Split(err.Error(), ": ")
					result = parts[len(parts)-1]
				} else {
					io.ReadAll(answer.Body)
					answer.Body.Close()
					result = answer.StatusCode
				}
				lock.Lock()
				done[fmt.Sprint(n)] = []any{kind, result, float64(time.Since(began).Microseconds()) / 1000}
				lock.Unlock()
			}
		}(w)
	}
	group.Wait()
	out, _ := json.Marshal(done)
	fmt.Println(string(out))
}
