// Asks with Go's own client, with a body of known length and with one in chunks.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	for _, body := range []io.Reader{strings.NewReader(os.Args[2]), io.MultiReader(strings.NewReader(os.Args[2]))} {
		answer, err := http.Post(os.Args[1], "application/json", body)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		said, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		fmt.Println(answer.StatusCode, string(said))
	}
}
