import java.net.URL;
import java.net.URLConnection;

/** Fetch ADDRESS TIMES: print how long each answer is. */
public class Fetch {
    public static void main(String[] words) throws Exception {
        for (int n = Integer.parseInt(words[1]); n > 0; n--) {
            URLConnection connection = new URL(words[0]).openConnection();
            connection.setReadTimeout(1000);
            try (var in = connection.getInputStream()) {
                System.out.println(in.readAllBytes().length);
            }
        }
    }
}
