// One request over TLS with java.net.http: PORT PROMPT.
import java.net.URI;
import java.net.http.*;
import java.security.cert.X509Certificate;
import javax.net.ssl.*;

public class LiveClient {
    public static void main(String[] args) throws Exception {
        TrustManager anybody = new X509ExtendedTrustManager() {
            public void checkClientTrusted(X509Certificate[] c, String a) {}
            public void checkServerTrusted(X509Certificate[] c, String a) {}
            public void checkClientTrusted(X509Certificate[] c, String a, java.net.Socket s) {}
            public void checkServerTrusted(X509Certificate[] c, String a, java.net.Socket s) {}
            public void checkClientTrusted(X509Certificate[] c, String a, SSLEngine e) {}
            public void checkServerTrusted(X509Certificate[] c, String a, SSLEngine e) {}
            public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
        };
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] {anybody}, null);
        String body = "{\"model\":\"range\",\"messages\":[{\"role\":\"user\",\"content\":\"" + args[1] + "\"}]}";
        HttpRequest request = HttpRequest.newBuilder(URI.create("https://127.0.0.1:" + args[0] + "/v1/chat/completions"))
            .header("content-type", "application/json").POST(HttpRequest.BodyPublishers.ofString(body)).build();
        System.out.println(HttpClient.newBuilder().sslContext(context).build()
            .send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
