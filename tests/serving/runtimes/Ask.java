import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Asks as every stock client of Java does, which offers HTTP/2 with each request; again with both of its other ways. */
public class Ask {
    public static void main(String[] words) throws Exception {
        HttpClient stock = HttpClient.newHttpClient();
        HttpClient plain = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        for (HttpClient client : new HttpClient[] {stock, stock, plain}) {
            for (boolean waits : new boolean[] {false, true}) {
                HttpRequest request = HttpRequest.newBuilder(URI.create(words[0]))
                        .header("content-type", "application/json")
                        .expectContinue(waits)
                        .POST(HttpRequest.BodyPublishers.ofString(words[1]))
                        .build();
                HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
                System.out.println(answer.statusCode() + " " + answer.body());
            }
        }
    }
}
