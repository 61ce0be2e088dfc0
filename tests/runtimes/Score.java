// java Score.java CASES.json: scores the rows of each model from its ONNX file alone, without any library.
// Numbers of every kind are doubles here; a cast to float32 rounds them, and trees of float32 add in it.

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.DoubleBinaryOperator;
import java.util.function.DoubleUnaryOperator;

public class Score {
    static final int FLOAT = 1, STRING = 8;

    /** A matrix of numbers or texts; a vector is one row, unless it is a table that is looked up. */
    record Tensor(int rows, int columns, double[] numbers, String[] texts, int kind) {
        static Tensor of(int rows, int columns, double[] numbers) {
            return new Tensor(rows, columns, numbers, null, 11);
        }

        double at(int row, int column) {
            return numbers[(rows == 1 ? 0 : row) * columns + (columns == 1 ? 0 : column)];
        }

        String text(int row, int column) {
            return texts[(rows == 1 ? 0 : row) * columns + (columns == 1 ? 0 : column)];
        }
    }

    record Node(String kind, List<String> inputs, String output, Map<String, Object> attributes) {
        Tensor tensor(String name) {
            return (Tensor) attributes.get(name);
        }

        long[] whole(String name) {
            return (long[]) attributes.getOrDefault(name, new long[0]);
        }

        long one(String name, long other) {
            return attributes.get(name) instanceof long[] values && values.length > 0 ? values[0] : other;
        }
    }

    public static void main(String[] arguments) throws Exception {
        StringBuilder answer = new StringBuilder("{");
        for (Object each : (List<?>) new Json(Files.readString(Path.of(arguments[0]))).value()) {
            Map<?, ?> one = (Map<?, ?>) each;
            Map<String, Tensor> feeds = new HashMap<>();
            if (one.get("numbers") instanceof List<?> rows) feeds.put("features", numbers(rows));
            if (one.get("texts") instanceof List<?> rows) feeds.put("categories", texts(rows));
            Tensor scores = new Model(Files.readAllBytes(Path.of((String) one.get("model")))).run(feeds);
            answer.append(answer.length() > 1 ? "," : "").append('"').append(one.get("name")).append("\":[");
            for (int i = 0; i < scores.numbers.length; i++) answer.append(i > 0 ? "," : "").append(scores.numbers[i]);
            answer.append("]");
        }
        System.out.println(answer.append("}"));
    }

    static Tensor numbers(List<?> rows) {
        int width = ((List<?>) rows.get(0)).size();
        double[] values = new double[rows.size() * width];
        int place = 0;
        for (Object row : rows)
            for (Object value : (List<?>) row) values[place++] = value == null ? Double.NaN : (Double) value;
        return Tensor.of(rows.size(), width, values);
    }

    static Tensor texts(List<?> rows) {
        int width = ((List<?>) rows.get(0)).size();
        String[] values = new String[rows.size() * width];
        int place = 0;
        for (Object row : rows) for (Object value : (List<?>) row) values[place++] = (String) value;
        return new Tensor(rows.size(), width, null, values, STRING);
    }

    /** A model: its nodes in their order, and its constants. */
    static class Model {
        final List<Node> nodes = new ArrayList<>();
        final Map<String, Tensor> constants = new HashMap<>();
        String output = "";

        Model(byte[] data) {
            for (Wire model = new Wire(data); model.next(); )
                if (model.field == 7)
                    for (Wire graph = new Wire(model.bytes); graph.next(); )
                        switch (graph.field) {
                            case 1 -> nodes.add(node(graph.bytes));
                            case 5 -> tensor(graph.bytes, constants);
                            case 12 -> output = name(graph.bytes);
                            default -> { }
                        }
        }

        Tensor run(Map<String, Tensor> feeds) {
            Map<String, Tensor> known = new HashMap<>(constants);
            known.putAll(feeds);
            for (Node node : nodes) {
                Tensor[] given = node.inputs.stream().map(known::get).toArray(Tensor[]::new);
                known.put(node.output, answer(node, given));
            }
            return known.get(output);
        }
    }

    static Tensor answer(Node node, Tensor[] x) {
        return switch (node.kind) {
            case "Add" -> both(x, (a, b) -> a + b);
            case "Sub" -> both(x, (a, b) -> a - b);
            case "Mul" -> both(x, (a, b) -> a * b);
            case "Div" -> both(x, (a, b) -> a / b);
            case "Min" -> both(x, Math::min);
            case "Max" -> both(x, Math::max);
            case "Equal" -> both(x, (a, b) -> a == b ? 1 : 0);
            case "LessOrEqual" -> both(x, (a, b) -> a <= b ? 1 : 0);
            case "Abs" -> each(x[0], Math::abs);
            case "Exp" -> each(x[0], Math::exp);
            case "IsNaN" -> each(x[0], a -> Double.isNaN(a) ? 1 : 0);
            case "Relu" -> each(x[0], a -> a < 0 ? 0 : a);
            case "Tanh" -> each(x[0], Math::tanh);
            case "Sigmoid" -> each(x[0], a -> 1 / (1 + Math.exp(-a)));
            case "Identity" -> x[0];
            case "Cast" -> node.one("to", 0) == FLOAT ? each(x[0], a -> (double) (float) a) : x[0];
            case "Where" -> where(x);
            case "Concat" -> joined(x);
            case "Gather" -> node.one("axis", 0) == 1 ? columns(x[0], x[1]) : each(x[1], a -> x[0].numbers[(int) a]);
            case "MatMul" -> product(x[0], x[1]);
            case "Softmax" -> softmax(x[0]);
            case "LabelEncoder" -> encoded(node, x[0]);
            case "TreeEnsemble" -> trees(node, x[0]);
            default -> throw new IllegalArgumentException("the operator " + node.kind);
        };
    }

    static Tensor each(Tensor x, DoubleUnaryOperator of) {
        double[] values = new double[x.numbers.length];
        for (int i = 0; i < values.length; i++) values[i] = of.applyAsDouble(x.numbers[i]);
        return Tensor.of(x.rows, x.columns, values);
    }

    static Tensor both(Tensor[] x, DoubleBinaryOperator of) {
        int rows = Math.max(x[0].rows, x[1].rows), columns = Math.max(x[0].columns, x[1].columns);
        double[] values = new double[rows * columns];
        for (int i = 0; i < values.length; i++)
            values[i] = of.applyAsDouble(x[0].at(i / columns, i % columns), x[1].at(i / columns, i % columns));
        return Tensor.of(rows, columns, values);
    }

    static Tensor where(Tensor[] x) {
        int rows = Math.max(x[0].rows, Math.max(x[1].rows, x[2].rows));
        int columns = Math.max(x[0].columns, Math.max(x[1].columns, x[2].columns));
        double[] values = new double[rows * columns];
        for (int i = 0; i < values.length; i++) {
            Tensor chosen = x[0].at(i / columns, i % columns) != 0 ? x[1] : x[2];
            values[i] = chosen.at(i / columns, i % columns);
        }
        return Tensor.of(rows, columns, values);
    }

    static Tensor joined(Tensor[] x) {
        int width = 0;
        for (Tensor one : x) width += one.columns;
        double[] values = new double[x[0].rows * width];
        for (int row = 0, place = 0; row < x[0].rows; row++)
            for (Tensor one : x) for (int column = 0; column < one.columns; column++) values[place++] = one.at(row, column);
        return Tensor.of(x[0].rows, width, values);
    }

    static Tensor columns(Tensor x, Tensor chosen) {
        double[] values = new double[x.rows * chosen.numbers.length];
        for (int row = 0, place = 0; row < x.rows; row++)
            for (double column : chosen.numbers) values[place++] = x.numbers[row * x.columns + (int) column];
        return Tensor.of(x.rows, chosen.numbers.length, values);
    }

    static Tensor product(Tensor x, Tensor y) {
        double[] values = new double[x.rows * y.columns];
        for (int row = 0; row < x.rows; row++)
            for (int column = 0; column < y.columns; column++)
                for (int inner = 0; inner < x.columns; inner++)
                    values[row * y.columns + column] += x.numbers[row * x.columns + inner] * y.numbers[inner * y.columns + column];
        return Tensor.of(x.rows, y.columns, values);
    }

    static Tensor softmax(Tensor x) {
        double[] values = new double[x.numbers.length];
        for (int row = 0; row < x.rows; row++) {
            double most = Double.NEGATIVE_INFINITY, sum = 0;
            for (int column = 0; column < x.columns; column++) most = Math.max(most, x.at(row, column));
            for (int column = 0; column < x.columns; column++) sum += Math.exp(x.at(row, column) - most);
            for (int column = 0; column < x.columns; column++)
                values[row * x.columns + column] = Math.exp(x.at(row, column) - most) / sum;
        }
        return Tensor.of(x.rows, x.columns, values);
    }

    static Tensor encoded(Node node, Tensor x) {
        Tensor keys = node.tensor("keys_tensor"), codes = node.tensor("values_tensor");
        Map<Object, Double> known = new HashMap<>();
        for (int i = 0; i < codes.numbers.length; i++)
            known.put(keys.texts != null ? keys.texts[i] : (Object) keys.numbers[i], codes.numbers[i]);
        double other = node.tensor("default_tensor").numbers[0];
        double[] values = new double[x.rows * x.columns];
        for (int i = 0; i < values.length; i++)
            values[i] = known.getOrDefault(x.texts != null ? x.texts[i] : (Object) x.numbers[i], other);
        return Tensor.of(x.rows, x.columns, values);
    }

    static Tensor trees(Node node, Tensor x) {
        Tensor splits = node.tensor("nodes_splits"), weights = node.tensor("leaf_weights");
        boolean single = splits.kind == FLOAT;
        double[] modes = node.tensor("nodes_modes").numbers;
        long[] features = node.whole("nodes_featureids"), missing = node.whole("nodes_missing_value_tracks_true");
        long[][] next = {node.whole("nodes_falsenodeids"), node.whole("nodes_truenodeids")};
        long[][] leaf = {node.whole("nodes_falseleafs"), node.whole("nodes_trueleafs")};
        long[] targets = node.whole("leaf_targetids");
        int width = (int) node.one("n_targets", 1);
        double[] sums = new double[x.rows * width];
        for (int row = 0; row < x.rows; row++)
            for (long root : node.whole("tree_roots")) {
                int place = (int) root;
                boolean ended = false;
                while (!ended) {
                    if (modes[place] != 0) throw new IllegalArgumentException("a split of the mode " + modes[place]);
                    double value = x.numbers[row * x.columns + (int) features[place]];
                    boolean yes = Double.isNaN(value) ? missing[place] != 0 : value <= splits.numbers[place];
                    int side = yes ? 1 : 0;
                    ended = leaf[side][place] != 0;
                    place = (int) next[side][place];
                }
                int target = row * width + (int) targets[place];
                sums[target] = single ? (float) sums[target] + (float) weights.numbers[place] : sums[target] + weights.numbers[place];
                if (single) sums[target] = (float) sums[target];
            }
        return Tensor.of(x.rows, width, sums);
    }

    static Node node(byte[] data) {
        List<String> inputs = new ArrayList<>();
        Map<String, Object> attributes = new HashMap<>();
        String kind = "", output = "";
        for (Wire wire = new Wire(data); wire.next(); )
            switch (wire.field) {
                case 1 -> inputs.add(wire.text());
                case 2 -> output = wire.text();
                case 4 -> kind = wire.text();
                case 5 -> attribute(wire.bytes, attributes);
                default -> { }
            }
        return new Node(kind, inputs, output, attributes);
    }

    static void attribute(byte[] data, Map<String, Object> into) {
        String name = name(data);
        List<Long> whole = new ArrayList<>();
        for (Wire wire = new Wire(data); wire.next(); )
            switch (wire.field) {
                case 3 -> whole.add(wire.number);
                case 5 -> into.put(name, tensor(wire.bytes, new HashMap<>()));
                case 8 -> whole.addAll(wire.numbers());
                default -> { }
            }
        if (!into.containsKey(name)) into.put(name, whole.stream().mapToLong(Long::longValue).toArray());
    }

    static String name(byte[] data) {
        for (Wire wire = new Wire(data); wire.next(); ) if (wire.field == 1) return wire.text();
        return "";
    }

    static Tensor tensor(byte[] data, Map<String, Tensor> into) {
        List<Long> sizes = new ArrayList<>();
        List<Double> numbers = new ArrayList<>();
        List<String> texts = new ArrayList<>();
        String name = "";
        int kind = 0;
        byte[] raw = new byte[0];
        for (Wire wire = new Wire(data); wire.next(); )
            switch (wire.field) {
                case 1 -> sizes.addAll(wire.numbers());
                case 2 -> kind = (int) wire.number;
                case 4 -> numbers.addAll(wire.packed(4));
                case 5, 7 -> wire.numbers().forEach(value -> numbers.add((double) value));
                case 6 -> texts.add(wire.text());
                case 8 -> name = wire.text();
                case 9 -> raw = wire.bytes;
                case 10 -> numbers.addAll(wire.packed(8));
                default -> { }
            }
        ByteBuffer buffer = ByteBuffer.wrap(raw).order(ByteOrder.LITTLE_ENDIAN);
        while (buffer.hasRemaining())
            numbers.add(
                switch (kind) {
                    case 1 -> (double) buffer.getFloat();
                    case 6 -> (double) buffer.getInt();
                    case 7 -> (double) buffer.getLong();
                    case 11 -> buffer.getDouble();
                    default -> (double) buffer.get();
                });
        int columns = sizes.isEmpty() ? 1 : sizes.get(sizes.size() - 1).intValue();
        int count = kind == STRING ? texts.size() : numbers.size();
        double[] values = numbers.stream().mapToDouble(Double::doubleValue).toArray();
        String[] words = kind == STRING ? texts.toArray(new String[0]) : null;
        Tensor made = new Tensor(columns == 0 ? 0 : count / columns, columns, values, words, kind);
        into.put(name, made);
        return made;
    }

    /** The fields of a message of Protocol Buffers, one after the other. */
    static class Wire {
        final ByteBuffer data;
        int field;
        long number;
        byte[] bytes;

        Wire(byte[] data) {
            this.data = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
        }

        boolean next() {
            if (!data.hasRemaining()) return false;
            long key = varint();
            field = (int) (key >>> 3);
            bytes = null;
            switch ((int) key & 7) {
                case 0 -> number = varint();
                case 1 -> number = data.getLong();
                case 5 -> number = data.getInt();
                default -> {
                    bytes = new byte[(int) varint()];
                    data.get(bytes);
                }
            }
            return true;
        }

        long varint() {
            long value = 0;
            for (int shift = 0; ; shift += 7) {
                byte part = data.get();
                value |= (long) (part & 0x7f) << shift;
                if (part >= 0) return value;
            }
        }

        String text() {
            return new String(bytes, StandardCharsets.UTF_8);
        }

        List<Long> numbers() {
            if (bytes == null) return List.of(number);
            List<Long> values = new ArrayList<>();
            for (Wire inner = new Wire(bytes); inner.data.hasRemaining(); ) values.add(inner.varint());
            return values;
        }

        List<Double> packed(int size) {
            if (bytes == null) return List.of(size == 4 ? Float.intBitsToFloat((int) number) : Double.longBitsToDouble(number));
            List<Double> values = new ArrayList<>();
            ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
            while (buffer.hasRemaining()) values.add(size == 4 ? (double) buffer.getFloat() : buffer.getDouble());
            return values;
        }
    }

    /** As much of JSON as the cases hold. */
    static class Json {
        final String text;
        int place;

        Json(String text) {
            this.text = text;
        }

        Object value() {
            skip();
            char first = text.charAt(place);
            if (first == '[') return list();
            if (first == '{') return map();
            if (first == '"') return word();
            int start = place;
            while (place < text.length() && ",]} \n".indexOf(text.charAt(place)) < 0) place++;
            String plain = text.substring(start, place);
            return plain.equals("null") ? null : (Object) Double.valueOf(plain);
        }

        void skip() {
            while (" \n,:".indexOf(text.charAt(place)) >= 0) place++;
        }

        List<Object> list() {
            List<Object> values = new ArrayList<>();
            for (place++; ; ) {
                skip();
                if (text.charAt(place) == ']') break;
                values.add(value());
            }
            place++;
            return values;
        }

        Map<String, Object> map() {
            Map<String, Object> values = new HashMap<>();
            for (place++; ; ) {
                skip();
                if (text.charAt(place) == '}') break;
                String key = word();
                values.put(key, value());
            }
            place++;
            return values;
        }

        String word() {
            StringBuilder made = new StringBuilder();
            for (place++; text.charAt(place) != '"'; place++) {
                char letter = text.charAt(place);
                if (letter == '\\') {
                    letter = text.charAt(++place);
                    if (letter == 'u') {
                        letter = (char) Integer.parseInt(text.substring(place + 1, place + 5), 16);
                        place += 4;
                    }
                }
                made.append(letter);
            }
            place++;
            return made.toString();
        }
    }
}
