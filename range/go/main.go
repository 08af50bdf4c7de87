// net/http against api.openai.com: --mode h2 (as Go does by default), h1, goroutines (8 at a time). Options and truth as the Python clients.
package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

type object = map[string]any

var topics = []string{"Explain why the sky is blue", "Erzähle mir etwas über Käsefondue", "東京の天気はどうですか", "What does 👩‍💻 mean, and 𝕗𝕒𝕟𝕔𝕪 letters"}

func main() {
	n := flag.Int("n", 1, "requests in all")
	stream := flag.Bool("stream", false, "")
	whole := flag.Bool("no-stream", false, "")
	mode := flag.String("mode", "h2", "h1, h2 or goroutines")
	truth := flag.String("truth", os.Getenv("RANGE_TRUTH"), "")
	run := flag.String("run", os.Getenv("RANGE_RUN"), "")
	flag.Parse()
	_ = whole
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if *mode == "h1" {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	client := &http.Client{Transport: transport}
	name := filepath.Base(os.Args[0]) // go_http or go_http_stripped
	out, err := os.OpenFile(*truth, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	must(err)
	var lock sync.Mutex
	one := func(counter int) {
		mark := fmt.Sprintf("[[%s.%s w0 c%d]]", name, *run, counter)
		prompt := mark + " " + strings.Repeat(topics[counter%len(topics)]+"; ", 1+counter%7*5)
		asked := object{"model": "gpt-4o-mini", "messages": []object{{"role": "user", "content": prompt}}, "stream": *stream}
		started := float64(time.Now().UnixNano()) / 1e9
		text, usage, proto := ask(client, asked, *stream)
		if !strings.Contains(text, mark) {
			panic(mark + " is not in the answer")
		}
		line, err := json.Marshal(object{
			"client": name, "run": *run, "worker": 0, "counter": counter, "marker": mark, "api": "openai.chat", "stream": *stream,
			"model": "gpt-4o-mini", "request": asked, "text": text, "texts": []string{text}, "tool_calls": []object{}, "usage": usage,
			"finish": []string{}, "response_id": "", "response_model": "", "status": 200, "error": "", "pid": os.Getpid(),
			"tid": os.Getpid(), "started": started, "ended": float64(time.Now().UnixNano()) / 1e9, "http_version": proto,
		})
		must(err)
		lock.Lock()
		defer lock.Unlock()
		_, err = out.Write(append(line, '\n'))
		must(err)
	}
	if *mode != "goroutines" {
		for i := 0; i < *n; i++ {
			one(i)
		}
		return
	}
	var group sync.WaitGroup
	numbers := make(chan int)
	for w := 0; w < 8; w++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := range numbers {
				one(i)
			}
		}()
	}
	for i := 0; i < *n; i++ {
		numbers <- i
	}
	close(numbers)
	group.Wait()
}

func ask(client *http.Client, asked object, stream bool) (string, any, string) {
	body, err := json.Marshal(asked)
	must(err)
	request, err := http.NewRequest("POST", "https://api.openai.com/v1/chat/completions", bytes.NewReader(body))
	must(err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+os.Getenv("OPENAI_API_KEY"))
	answer, err := client.Do(request)
	must(err)
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	must(err)
	type piece struct{ Content string }
	type chunk struct {
		Choices []struct{ Message, Delta piece }
		Usage   any
	}
	text := ""
	if !stream {
		var whole chunk
		must(json.Unmarshal(raw, &whole))
		return whole.Choices[0].Message.Content, whole.Usage, answer.Proto
	}
	for _, line := range strings.Split(string(raw), "\n") {
		if strings.HasPrefix(line, "data: {") {
			var part chunk
			must(json.Unmarshal([]byte(line[6:]), &part))
			for _, choice := range part.Choices {
				text += choice.Delta.Content
			}
		}
	}
	return text, nil, answer.Proto
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
