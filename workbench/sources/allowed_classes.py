"""The classes and functions of tf_keras that a model file may name: those that do nothing but compute.

Left out, because their configuration carries code or names files: `Lambda`, the wrappers of RNN cells of `tf.nn`, the layers
of feature columns, and operators as TensorFlow 2.3 and older wrote them into Keras files (`TensorFlowOpLayer`).
"""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


MODELS = words("Functional Model Sequential")

LAYERS = MODELS | words("""
    Activation ActivityRegularization Add AddLoss AddMetric AdditiveAttention AlphaDropout Attention Average AveragePooling1D
    AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization BatchNormalizationV1
    BatchNormalizationV2 Bidirectional CategoryEncoding CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose
    Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution1DTranspose Convolution2D
    Convolution2DTranspose Convolution3D Convolution3DTranspose Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM
    CustomScaleLayer Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding Flatten GRU
    GRUCell GRUCellV1 GRUCellV2 GRUV1 GRUV2 GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D
    GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization HashedCrossing Hashing Identity InputLayer
    IntegerLookup LSTM LSTMCell LSTMCellV1 LSTMCellV2 LSTMV1 LSTMV2 LayerNormalization LayerScale LeakyReLU
    LocallyConnected1D LocallyConnected2D Masking MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum
    Minimum MultiHeadAttention Multiply Normalization PReLU Permute RNN RandomBrightness RandomContrast RandomCrop RandomFlip
    RandomFourierFeatures RandomHeight RandomRotation RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling
    Reshape Resizing SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D SimpleRNN SimpleRNNCell
    Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells StochasticDepth
    StringLookup Subtract SyncBatchNormalization TextVectorization ThresholdedReLU TimeDistributed UnitNormalization
    UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """)

# Layers that call what their configuration names, which is looked at besides.
CALLERS = words("TFOpLambda SlicingOpLambda ClassMethod InstanceMethod InstanceProperty")

# Each also under the names that older versions and short forms used.
INITIALIZERS = words("""
    Constant ConstantV2 GlorotNormal GlorotNormalV2 GlorotUniform GlorotUniformV2 HeNormal HeNormalV2 HeUniform HeUniformV2
    Identity IdentityV2 LecunNormal LecunNormalV2 LecunUniform LecunUniformV2 Ones OnesV2 Orthogonal OrthogonalV2 RandomNormal
    RandomNormalV2 RandomUniform RandomUniformV2 TruncatedNormal TruncatedNormalV2 VarianceScaling VarianceScalingV2 Zeros
    ZerosV2 constant glorot_normal glorot_uniform he_normal he_uniform identity lecun_normal lecun_uniform normal one ones
    orthogonal random_normal random_uniform truncated_normal uniform variance_scaling zero zeros
    gaussian laplacian
    """)
REGULARIZERS = words("L1 L1L2 L2 OrthogonalRegularizer l1 l1_l2 l2 orthogonal_regularizer")
CONSTRAINTS = words("""
    MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm max_norm maxnorm min_max_norm minmaxnorm non_neg nonneg
    radial_constraint unit_norm unitnorm
    """)
ACTIVATIONS = words("""
    elu exponential gelu hard_sigmoid leaky_relu linear log_softmax mish relu relu6 selu sigmoid silu softmax softmax_v2
    softplus softsign swish tanh
    """)
# What a sub-model was compiled with; the outermost is never compiled.
TRAINING = words("""
    Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lion Nadam RMSprop SGD LossScaleOptimizer CosineDecay CosineDecayRestarts
    ExponentialDecay InverseTimeDecay PiecewiseConstantDecay PolynomialDecay
    BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalHinge
    CosineSimilarity Hinge Huber KLDivergence LogCosh MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError
    MeanSquaredLogarithmicError Poisson SparseCategoricalCrossentropy SquaredHinge
    AUC Accuracy BinaryAccuracy BinaryIoU CategoricalAccuracy F1Score FBetaScore FalseNegatives FalsePositives IoU LogCoshError
    Mean MeanIoU MeanMetricWrapper MeanRelativeError MeanTensor OneHotIoU OneHotMeanIoU Precision PrecisionAtRecall R2Score
    Recall RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity SparseCategoricalAccuracy
    SparseTopKCategoricalAccuracy SpecificityAtSensitivity Sum TopKCategoricalAccuracy TrueNegatives TruePositives
    """)
POLICIES = words("Policy PolicyV1")

CLASSES = LAYERS | CALLERS | INITIALIZERS | REGULARIZERS | CONSTRAINTS | TRAINING | POLICIES

# Functions by name: activations, and the losses and metrics of a compiled sub-model.
FUNCTIONS = ACTIVATIONS | words("""
    binary_accuracy binary_crossentropy binary_focal_crossentropy categorical_accuracy categorical_crossentropy
    categorical_focal_crossentropy categorical_hinge cosine_similarity hinge huber kl_divergence log_cosh mean_absolute_error
    mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error poisson sparse_categorical_accuracy
    sparse_categorical_crossentropy sparse_top_k_categorical_accuracy squared_hinge top_k_categorical_accuracy
    """)

# Where a `.keras` file says that they lie, `tf.constant_initializer` and its kin among them; a name that is not in its module is looked for by importing the module.
MODULES = frozenset(
    f"{root}{path}"
    for root in ("keras", "tf_keras")
    for path in (
        "",
        ".layers",
        ".layers.experimental",
        ".layers.experimental.preprocessing",
        ".models",
        ".initializers",
        ".regularizers",
        ".constraints",
        ".activations",
        ".losses",
        ".metrics",
        ".optimizers",
        ".optimizers.experimental",
        ".optimizers.legacy",
        ".optimizers.schedules",
        ".mixed_precision",
        *(
            f"{inner}.{module}"
            for inner in ("", ".src")
            for module in (
                "applications.convnext",
                "applications.inception_resnet_v2",
                "engine.base_layer",
                "engine.functional",
                "engine.sequential",
                "engine.training",
                "layers.core.tf_op_layer",
            )
        ),
    )
) | {"tensorflow.python.ops.init_ops_v2"}
