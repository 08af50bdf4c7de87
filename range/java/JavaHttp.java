// java.net.http against api.openai.com, whose TLS is Java's own: options and truth as the Python clients.
import java.io.FileInputStream;
import java.io.FileWriter;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class JavaHttp {
    public static void main(String[] args) throws Exception {
        int n = 1;
        for (int i = 0; i < args.length; i++) if (args[i].equals("--n")) n = Integer.parseInt(args[i + 1]);
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (FileInputStream in = new FileInputStream(System.getenv("SSL_CERT_FILE"))) {
            int number = 0;
            for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(in))
                store.setCertificateEntry("ca" + number++, one);
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        HttpClient client = HttpClient.newBuilder().sslContext(context).build();
        try (FileWriter truth = new FileWriter(System.getenv("RANGE_TRUTH"), true)) {
            for (int i = 0; i < n; i++) {
                String mark = "[[java_http." + System.getenv("RANGE_RUN") + " w0 c" + i + "]]";
                String body = "{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"" + mark + " hi\"}]}";
                HttpRequest request = HttpRequest.newBuilder(URI.create("https://api.openai.com/v1/chat/completions"))
                    .header("Content-Type", "application/json").header("Authorization", "Bearer " + System.getenv("OPENAI_API_KEY"))
                    .POST(HttpRequest.BodyPublishers.ofString(body)).build();
                String answer = client.send(request, HttpResponse.BodyHandlers.ofString()).body();
                if (!answer.contains(mark)) throw new IllegalStateException(answer);
                truth.write("{\"client\":\"java_http\",\"marker\":\"" + mark + "\",\"pid\":" + ProcessHandle.current().pid() + "}\n");
            }
        }
    }
}
